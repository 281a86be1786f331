"""A pipeline at work: ready steps start, results flow on, and a failure stops only what depends on it."""

from uuid import UUID

import pytest
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

from tests.zoo_server.jobs.threads import at_once
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import CHAIN, HEAD, SEEDS
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Membership, Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job
from zoo_server.jobs.services import listeners
from zoo_server.pipelines import chores
from zoo_server.pipelines.services import moves
from zoo_server.pipelines.services.advancing import advance_pipeline, advance_pipelines
from zoo_server.pipelines.services.board import Board, locked_board

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_that_wait_for_nothing_start_together(start: Start) -> None:
    scene = start(CHAIN)
    assert scene.states() == {"base": "running", "other": "running", "student": "waiting", "check": "waiting"}
    assert {job.state for job in Job.objects.all()} == {"queued"}


def test_results_flow_to_the_steps_that_take_them(start: Start, data: Version) -> None:
    scene = start(CHAIN)
    scene.finish("base", top1=90)
    assert scene.states()["student"] == "running"
    job = scene.job("student")
    inputs = {
        item.port: (str(item.version), item.weight) for item in job.inputs.select_related("version__repository__team")
    }
    assert inputs == {
        "student": ("vision/made-base@1", None),
        "teacher": ("vision/made-base@1", 2.0),
        "data": (str(data), None),
    }
    assert job.outputs == {"model": "vision/distilled"}
    scene.finish("student", top1=91)
    scene.finish("check", top1=91)
    assert scene.state == "running", "other is still running"
    scene.finish("other")
    assert scene.state == "succeeded"
    assert str(scene.step("student").result) == "vision/distilled@1"
    assert str(scene.step("check").result) == "vision/distilled@1", "a step that measures stands for what it measured"
    assert scene.pipeline.finished_at is not None
    assert list(
        AuditEvent.objects.filter(action__startswith="pipeline.").order_by("id").values_list("action", flat=True)
    ) == [
        "pipeline.started",
        "pipeline.succeeded",
    ]


def test_a_failure_stops_what_depends_on_it_and_nothing_else(start: Start) -> None:
    scene = start(CHAIN)
    scene.fail("base")
    assert scene.states() == {"base": "failed", "other": "running", "student": "skipped", "check": "skipped"}
    assert scene.step("student").reason == "it takes base, which failed"
    assert scene.step("base").error == {"code": "broken", "message": "It broke.", "facts": {}}
    assert scene.state == "running"
    scene.finish("other")
    assert scene.state == "failed"


def test_all_instances_of_a_matrix_go_into_a_port_that_takes_many(start: Start, base: Version) -> None:
    scene = start(SEEDS, inputs={"student": str(base)})
    assert [scene.job(f"train[seed={seed}]").seed for seed in range(3)] == [0, 1, 2]
    scene.finish("train[seed=2]")
    scene.finish("train[seed=0]")
    assert scene.states()["ensemble"] == "waiting"
    scene.finish("train[seed=1]")
    teachers = scene.job("ensemble").inputs.filter(port="teacher").select_related("version__repository__team")
    assert sorted(str(item.version) for item in teachers) == [f"vision/made-train@{number}" for number in (1, 2, 3)]


def test_one_lost_instance_of_a_matrix_skips_what_takes_all(start: Start, base: Version) -> None:
    scene = start(SEEDS, inputs={"student": str(base)}, axes={"seed": [0, 1]})
    scene.fail("train[seed=1]")
    assert scene.states() == {"train[seed=0]": "running", "train[seed=1]": "failed", "ensemble": "skipped"}


def test_two_that_advance_at_once_start_a_step_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = start(CHAIN)
    monkeypatch.setattr(listeners, "_LISTENERS", [])
    scene.finish("base")
    at_once(4, lambda _: advance_pipeline(pipeline_id=scene.id))
    assert Job.objects.count() == 3
    assert scene.states()["student"] == "running"
    assert AuditEvent.objects.filter(action="job.submitted").count() == 3


def test_the_chore_makes_up_for_a_crash_between_the_jobs_end_and_the_advance(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = start(CHAIN)
    monkeypatch.setattr(listeners, "_LISTENERS", [])
    scene.finish("base")
    assert scene.states()["student"] == "waiting"
    assert advance_pipelines() == 1
    assert scene.states()["student"] == "running"
    assert advance_pipelines() == 0, "nothing is due any more"
    chores.advance_pipelines()


def test_a_pipeline_that_cannot_be_advanced_does_not_stop_the_others(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = start(CHAIN), start(CHAIN, cache="off")
    monkeypatch.setattr(listeners, "_LISTENERS", [])
    broken.finish("base")
    fine.finish("base")

    def locked(pipeline_id: UUID) -> Board:
        if pipeline_id == broken.id:
            raise RuntimeError("odd")
        return locked_board(pipeline_id)

    monkeypatch.setattr("zoo_server.pipelines.services.advancing.locked_board", locked)
    assert advance_pipelines() == 1
    assert fine.states()["student"] == "running"
    assert "could not be moved on" in caplog.text


def failing_boards(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> list[Exception]:
    """Let the next boards that are locked fail with these errors; answers those that are left."""
    left = list(errors)

    def locked(pipeline_id: UUID) -> Board:
        if left:
            raise left.pop(0)
        return locked_board(pipeline_id)

    monkeypatch.setattr("zoo_server.pipelines.services.advancing.locked_board", locked)
    return left


def deadlock() -> OperationalError:
    error = OperationalError("deadlock detected")
    error.__cause__ = DeadlockDetected()
    return error


def test_what_loses_a_deadlock_begins_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    left = failing_boards(monkeypatch, deadlock(), deadlock())
    scene = start(CHAIN)
    assert left == []
    assert scene.states()["base"] == "running"
    failing_boards(monkeypatch, *(deadlock() for _ in range(3)))
    with pytest.raises(OperationalError):
        advance_pipeline(pipeline_id=scene.id)


def test_a_pipeline_that_could_not_begin_is_kept_and_begun_by_the_chore(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing_boards(monkeypatch, OperationalError("the database went away"))
    scene = start(CHAIN)
    assert set(scene.states().values()) == {"waiting"}
    assert "the chore tries again" in caplog.text
    assert advance_pipelines() == 1
    assert scene.states()["base"] == "running"


def test_a_step_whose_job_is_refused_has_failed_with_the_reason(start: Start) -> None:
    scene = start(CHAIN)
    Membership.objects.all().delete()
    scene.finish("base")
    step = scene.step("student")
    assert step.state == "failed"
    assert step.error is not None
    assert step.error["code"] == "not-found"
    assert "its job was refused" in step.reason


def test_a_pipeline_never_does_more_than_the_role_that_is_left(start: Start, member: User, team: Team) -> None:
    scene = start(CHAIN)
    Membership.objects.filter(team=team, user=member).update(role=TeamRole.READER)
    scene.finish("base")
    assert scene.step("student").error["code"] == "permission-denied"  # type: ignore[index]


def test_a_closed_account_starts_nothing_more(start: Start, member: User) -> None:
    scene = start(CHAIN)
    User.objects.filter(pk=member.pk).update(is_active=False)
    scene.finish("base")
    assert "account 'curie'" in scene.step("student").reason


def test_more_ready_steps_than_fit_in_one_go_are_left_to_the_chore(
    start: Start, base: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "START_LIMIT", 2)
    scene = start(SEEDS, inputs={"student": str(base)})
    assert list(scene.states().values()).count("running") == 2
    assert scene.pipeline.advance_due
    assert advance_pipelines() == 1
    assert list(scene.states().values()).count("running") == 3
    assert not scene.pipeline.advance_due


def test_needs_waits_without_taking_anything(start: Start) -> None:
    text = HEAD + (
        "steps:\n  first:\n    operation: toy.nothing\n  second:\n    operation: toy.train\n    needs: [first]\n"
        "    inputs:\n      data: ${inputs.data}\n"
    )
    scene = start(text)
    assert scene.states() == {"first": "running", "second": "waiting"}
    scene.finish("first")
    assert scene.states() == {"first": "succeeded", "second": "running"}
    scene.fail("second")
    assert scene.state == "failed"


def test_a_job_carries_the_pipeline_in_the_tags_of_its_run(start: Start) -> None:
    scene = start(CHAIN)
    tags = scene.hands.claim(scene.job("base").pk).json()["tags"]
    assert (tags["zoo.pipeline"], tags["zoo.pipeline_name"], tags["zoo.step"]) == (str(scene.id), "made", "base")


def test_a_given_input_leaves_out_the_step_in_whose_place_it_stands(start: Start, teacher: Version) -> None:
    text = HEAD.replace(
        "data: {kind: dataset}\n", "data: {kind: dataset}\n  teacher: {kind: model, required: false}\n"
    ) + (
        "steps:\n  teacher:\n    operation: toy.train\n    inputs:\n      data: ${inputs.data}\n"
        "  student:\n    operation: toy.train\n    seed: 1\n    inputs:\n      data: ${inputs.data}\n"
        '      init: {from: {first_of: ["${inputs.teacher}", "${steps.teacher}"]}}\n'
    )
    scene = start(text, inputs={"teacher": str(teacher)})
    assert scene.states() == {"teacher": "skipped", "student": "running"}
    scene.finish("student")
    assert scene.state == "succeeded"
    assert start(text).states() == {"teacher": "running", "student": "waiting"}
