"""Rules between parameters: the same data refuse the same things in the worker and in the registry."""

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from zoo_sdk.errors import InvalidInput
from zoo_sdk.operations import OperationParams, OperationSpec
from zoo_sdk.rules import RULES_KEY, AtMost, ExactlyOne, Excludes, Given, Requires, Rule, broken_rules, rules_of


class BaseParams(OperationParams):
    epochs: int = 4
    warmup: float | None = 1
    RULES: ClassVar[tuple[Rule, ...]] = (AtMost(field="warmup", limit="epochs"),)


class Params(BaseParams):
    method: str = "kd"
    joined: str = "none"
    alpha: float = 1
    layers: tuple[str, ...] = ()
    compiled: bool = False
    ratio: float | None = 0.5
    target: float | None = None
    RULES: ClassVar[tuple[Rule, ...]] = (
        Requires(field="alpha", needs=("method", "joined"), one_of=("dkd",)),
        Requires(field="method", values=("feature",), needs=("layers",), reason="such as a"),
        Excludes(field="method", values=("feature",), other="compiled", other_values=(True,)),
        Excludes(field="layers", other="target"),
    )


class OneParams(OperationParams):
    ratio: float | None = None
    target: int | None = None
    RULES: ClassVar[tuple[Rule, ...]] = (ExactlyOne(fields=("ratio", "target")),)


def spec(params: type[OperationParams]) -> OperationSpec:
    return OperationSpec(name="some.thing", version=1, summary="s", params=params, implementation="a:b")


BROKEN: list[tuple[type[OperationParams], dict[str, Any], str, str]] = [
    (Params, {"warmup": 4.5}, "warmup", "warmup (4.5) must not exceed epochs (4)"),
    (Params, {"alpha": 2}, "alpha", "alpha needs method or joined to be dkd"),
    (Params, {"method": "feature"}, "method", "method=feature needs layers: such as a"),
    (
        Params,
        {"method": "feature", "layers": ["x"], "compiled": True},
        "method",
        "method=feature does not go with compiled=True",
    ),
    (Params, {"layers": ["x"], "target": 1}, "layers", "layers does not go with target"),
    (OneParams, {}, "", "give one of ratio and target; given: none"),
    (OneParams, {"ratio": 0.1, "target": 3}, "target", "give one of ratio and target; given: ratio, target"),
]
KEPT: list[tuple[type[OperationParams], dict[str, Any]]] = [
    (Params, {}),
    (Params, {"warmup": None, "epochs": 1}),
    (Params, {"warmup": 4}),
    (Params, {"alpha": 2, "method": "dkd"}),
    (Params, {"alpha": 2, "joined": "dkd"}),
    (Params, {"alpha": 1, "layers": [], "target": None, "compiled": False}),
    (Params, {"compiled": True}),
    (OneParams, {"ratio": 0.1}),
    (OneParams, {"ratio": None, "target": 3}),
]


def found(params: type[OperationParams], given: dict[str, Any]) -> list[tuple[str, str]]:
    """As the registry sees it: from the schema alone."""
    schema = spec(params).manifest.params_schema
    defaults = {name: item["default"] for name, item in schema["properties"].items() if "default" in item}
    return [(item.field, item.message) for item in broken_rules(rules_of(schema), Given(defaults | given, defaults))]


@pytest.mark.parametrize(("params", "given", "field", "message"), BROKEN)
def test_a_broken_rule_is_told_by_the_parameters_and_by_their_schema(
    params: type[OperationParams], given: dict[str, Any], field: str, message: str
) -> None:
    assert found(params, given) == [(field, message)]
    with pytest.raises(InvalidInput) as caught:
        spec(params).parse_params(given)
    assert message in caught.value.detail


@pytest.mark.parametrize(("params", "given"), KEPT)
def test_what_keeps_the_rules_is_taken_by_both(params: type[OperationParams], given: dict[str, Any]) -> None:
    assert found(params, given) == []
    spec(params).parse_params(given)


def test_a_truth_is_no_number() -> None:
    rule = Excludes(field="count", values=(1,), other="flag", other_values=(True,))
    assert rule.check(Given({"count": True, "flag": True}, {})) is None
    assert rule.check(Given({"count": 1, "flag": 1}, {})) is None
    assert rule.check(Given({"count": 1, "flag": True}, {})) is not None


def test_a_rule_about_a_parameter_that_does_not_exist_is_a_mistake_of_the_operation() -> None:
    class WrongParams(OperationParams):
        epochs: int = 1
        RULES: ClassVar[tuple[Rule, ...]] = (AtMost(field="epochs", limit="epoch"),)

    with pytest.raises(ValidationError, match="epoch"):
        spec(WrongParams)


def test_parameters_without_rules_have_the_schema_that_they_had() -> None:
    class PlainParams(OperationParams):
        epochs: int = 1

    assert RULES_KEY not in spec(PlainParams).manifest.params_schema
