"""Gates: what does not hold stops what comes after it, or has a branch run in its place."""

from typing import Any

import pytest

from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import BRANCHED, COMPARED, GATED, MEASURED
from tests.zoo_server.pipelines.recipes.texts import changed
from zoo_sdk.vocabulary import MetricSource, TeamRole
from zoo_server.accounts.models import Membership, Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog.models import Alias, Metric, Version
from zoo_server.jobs.models import Job
from zoo_server.pipelines.recipes.graph import BoundGate
from zoo_server.pipelines.services.gates import evaluate, verdict_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_gate_that_passes_lets_the_next_step_start(start: Start) -> None:
    scene = start(GATED)
    scene.finish("base", top1=90)
    assert scene.states()["after"] == "running"
    (gate,) = scene.step("base").gates
    assert (gate["value"], gate["limit"], gate["passed"]) == (90, 90, True)


def test_a_gate_that_stops_keeps_what_depends_on_it_from_starting(start: Start) -> None:
    scene = start(GATED)
    scene.finish("base", top1=89.9)
    assert scene.states() == {"base": "gated", "after": "skipped", "free": "running"}
    assert scene.step("base").reason == "top1 >= 90: not passed (vision/made-base@1: 89.9)"
    assert scene.step("after").reason == "it takes base, which did not pass its gates"
    scene.finish("free")
    assert scene.state == "stopped"
    assert Job.objects.count() == 2
    event = AuditEvent.objects.get(action="pipeline.gated")
    assert (event.details["step"], event.details["verdict"]) == ("base", "stopped")


def test_a_metric_that_was_not_measured_fails_the_step(start: Start) -> None:
    scene = start(GATED)
    scene.finish("base", loss=0.1)
    step = scene.step("base")
    assert (step.state, step.error["code"]) == ("failed", "gate-unmeasured")  # type: ignore[index]
    assert "top1 of vision/made-base@1 was not measured" in step.reason
    assert scene.states()["after"] == "skipped"


def test_a_branch_runs_if_the_gate_does_not_pass_and_may_take_the_gated_version(start: Start) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=50)
    assert scene.states() == {"quick": "gated", "repair": "running", "only_quick": "skipped", "last": "waiting"}
    init = scene.job("repair").inputs.select_related("version__repository__team").get(port="init")
    assert str(init.version) == "vision/best@1"
    scene.finish("repair")
    last = scene.job("last").inputs.select_related("version__repository__team").get(port="init")
    assert str(last.version) == "vision/best@2"
    scene.finish("last")
    assert scene.state == "succeeded", "a branch that was taken is no failure"
    alias = Alias.objects.select_related("version").get(name="chosen")
    assert alias.version == scene.step("repair").result


def test_a_branch_is_skipped_if_the_gate_passes(start: Start) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=95)
    assert scene.states() == {"quick": "succeeded", "repair": "skipped", "only_quick": "running", "last": "running"}
    assert scene.step("repair").reason == "its branch is not taken: quick succeeded"
    scene.finish("only_quick")
    scene.finish("last")
    assert scene.state == "succeeded"
    assert Alias.objects.select_related("version").get(name="chosen").version == scene.step("quick").result


def test_a_branch_is_skipped_if_its_step_failed(start: Start) -> None:
    scene = start(BRANCHED)
    scene.fail("quick")
    assert set(scene.states().values()) == {"failed", "skipped"}
    assert scene.state == "failed"


@pytest.mark.parametrize(("top1", "state"), [(89.5, "succeeded"), (89.4, "gated")])
def test_a_gate_waits_for_the_step_that_it_compares_with(start: Start, top1: float, state: str) -> None:
    scene = start(COMPARED)
    assert scene.states() == {"base": "running", "small": "running", "after": "waiting"}
    scene.finish("small", top1=top1)
    assert scene.states()["small"] == "running"
    scene.finish("base", top1=90)
    assert scene.states()["small"] == state
    assert scene.states()["after"] == ("running" if state == "succeeded" else "skipped")


def test_a_gate_fails_if_the_step_that_it_compares_with_failed(start: Start) -> None:
    scene = start(COMPARED)
    scene.finish("small", top1=90)
    scene.fail("base")
    assert scene.step("small").error["code"] == "gate-unmeasured"  # type: ignore[index]
    assert "steps.base has no version to compare with" in scene.step("small").reason


def test_a_gate_sees_what_another_step_measured_on_the_same_version(start: Start) -> None:
    scene = start(MEASURED)
    scene.finish("base")
    scene.finish("speed", latency_ms=4)
    scene.finish("check", top1=85)
    assert scene.states()["check"] == "succeeded"
    init = scene.job("after").inputs.get(port="init")
    assert init.version == scene.step("base").result, "the result of a step that measures is what it measured"


def test_a_gate_that_stops_goes_before_one_that_branches(start: Start) -> None:
    text = changed(
        ("otherwise: {run: [repair]}}", "otherwise: {run: [repair]}}\n      - {metric: top1, at_least: 10}"),
        text=BRANCHED,
    )
    scene = start(text)
    scene.finish("quick", top1=5)
    assert scene.states() == {"quick": "gated", "repair": "skipped", "only_quick": "skipped", "last": "skipped"}
    assert scene.state == "stopped"


def test_an_alias_that_is_refused_later_is_noted_and_fails_nothing(start: Start, member: User, team: Team) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=95)
    scene.finish("only_quick")
    Membership.objects.filter(user=member, team=team).update(role=TeamRole.ENGINEER)
    scene.finish("last")
    assert scene.state == "succeeded"
    assert "curate" in scene.pipeline.outputs["best"]["alias_error"]
    assert not Alias.objects.exists()


RULES: list[tuple[str, float, float, float | None, bool]] = [
    ("at_least", 90, 90, None, True),
    ("at_least", 90, 89.999, None, False),
    ("at_most", 5, 5, None, True),
    ("at_most", 5, 5.01, None, False),
    ("at_least", 1, 71, 70, True),
    ("at_least", 1, 70.9, 70, False),
    ("at_most", 0.5, 70.5, 70, True),
    ("at_most", 0.5, 70.6, 70, False),
    ("at_most_below", 0.5, 70.8, 71.3, True),
    ("at_most_below", 0.5, 70.7, 71.3, False),
    ("at_most_times", 0.5, 50, 100, True),
    ("at_most_times", 0.5, 51, 100, False),
]


@pytest.mark.parametrize(("rule", "limit", "value", "reference", "passed"), RULES)
def test_the_rules(
    base: Version, teacher: Version, rule: Any, limit: float, value: float, reference: float | None, passed: bool
) -> None:
    def measured(version: Version, number: float, **changes: Any) -> Metric:
        fields = {"version": version, "name": "top1", "value": number, "source": MetricSource.MEASURED, "split": "test"}
        return Metric.objects.create(**(fields | changes))

    own = measured(base, value)
    if reference is not None:
        measured(teacher, reference)
        measured(teacher, 0, split="train")
        measured(teacher, 0, source=MetricSource.REPORTED)
    gate = BoundGate(metric="top1", rule=rule, limit=limit)
    result = evaluate(gate, subject=base, measured=[own], than=teacher if reference is not None else None)
    assert (result.passed, result.value, result.reference) == (passed, value, reference)
    assert verdict_of([result]) == ("passed" if passed else "stopped")
    newest = measured(base, value, split="other")
    assert (
        evaluate(gate.model_copy(update={"split": "test"}), subject=base, measured=[newest], than=None).value == value
    )


def test_what_was_measured_on_other_data_is_not_compared(base: Version, teacher: Version, data: Version) -> None:
    fields = {"name": "top1", "value": 90.0, "source": MetricSource.MEASURED, "split": "test"}
    own = Metric.objects.create(version=base, dataset=data, **fields)
    Metric.objects.create(version=teacher, dataset=None, **fields)
    gate = BoundGate(metric="top1", rule="at_most_below", limit=1)
    result = evaluate(gate, subject=base, measured=[own], than=teacher)
    assert result.passed is None
    assert "was not measured on the same data" in result.message
