"""The tables themselves: every run that they ask for is one that the operations take."""

from collections.abc import Iterator

import pytest

from bench.methods.__main__ import QUICK, TABLES
from bench.methods.making import Making, spec_of
from bench.methods.tables import Effort, MethodTable


def _all(making: Making) -> Iterator[Making]:
    yield making
    for sources in making.inputs.values():
        for source in sources:
            yield from _all(source.making)


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> MethodTable:
    return TABLES[request.param](Effort())


def test_every_operation_takes_its_parameters_and_inputs(table: MethodTable) -> None:
    for arm in table.arms:
        for making in _all(arm.making(1)):
            spec = spec_of(making.operation)
            spec.parse_params(dict(making.params))
            ports = {port.name: port for port in spec.inputs}
            assert making.inputs.keys() <= ports.keys(), arm.name
            required = {port.name for port in spec.inputs if port.required} - {"data"}
            assert required <= making.inputs.keys(), arm.name
            assert all(len(sources) == 1 or ports[name].many for name, sources in making.inputs.items())


def test_a_baseline_is_an_arm_that_comes_before_and_has_as_many_epochs(table: MethodTable) -> None:
    seen: dict[str, int] = {}
    for arm in table.arms:
        epochs = arm.making(1).epochs
        if arm.baseline is not None:
            # Trained on is compared with what it was trained on from: that is what the training brings.
            assert seen[arm.baseline] == epochs or arm.making(1).operation == "torch.train", arm.name
        assert arm.name not in seen
        seen[arm.name] = epochs


def test_claims_are_about_arms_and_a_short_run_has_a_baseline_for_each_arm(table: MethodTable) -> None:
    names = {arm.name for arm in table.arms}
    assert table.claims
    for claim in table.claims:
        assert {claim.arm, claim.against} <= names
    short = {arm.name for arm in table.shortened().arms}
    assert short
    assert all(arm.baseline in {*short, None} for arm in table.shortened().arms)


def test_a_table_about_some_arms_has_what_they_are_compared_with() -> None:
    table = TABLES["pruning"](Effort()).about(["50 % pruned, l1, ensemble"])
    assert [arm.name for arm in table.arms] == [
        "base", "base, trained on", "base, trained on with the ensemble", "50 % pruned, l1, ensemble"
    ]  # fmt: skip
    assert [claim.arm for claim in table.claims] == ["50 % pruned, l1, ensemble"]


def test_two_arms_never_ask_for_the_same_run(table: MethodTable) -> None:
    digests = [arm.making(1).digest("data") for arm in table.arms]
    assert len(set(digests)) == len(digests)


def test_another_effort_is_another_setting() -> None:
    make = TABLES["distillation"]
    assert make(QUICK).arms[0].making(1).digest("data") != make(Effort()).arms[0].making(1).digest("data")
    assert make(Effort(epochs=99)).arms[0].making(1) == make(Effort()).arms[0].making(1)
