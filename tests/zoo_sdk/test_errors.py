"""The tree of errors."""

import inspect

import pytest

from zoo_sdk import errors
from zoo_sdk.errors import InvalidInput, OperationError, Unavailable, UnknownName, ZooError
from zoo_sdk.vocabulary import RETRYABLE_CAUSES, FailureCause

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ZooError)]


def test_each_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in TREE]
    assert len(codes) == len(set(codes))


def test_only_what_may_pass_is_retryable() -> None:
    assert {kind for kind in TREE if kind.retryable} == {Unavailable}
    assert FailureCause.PLUGIN_ERROR not in RETRYABLE_CAUSES


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = InvalidInput("The width is 0.", hint="Give at least 1.", facts={"field": "width"})
    assert str(error) == "The width is 0. Give at least 1."
    assert error.facts == {"field": "width"}


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert "Did you mean onnx?" in str(UnknownName("format", "onx", ["onnx", "safetensors"]))


def test_an_unknown_name_without_a_near_one_lists_all() -> None:
    assert "Known: onnx, safetensors." in str(UnknownName("format", "zzz", ["safetensors", "onnx"]))
    assert "Known: none." in str(UnknownName("format", "zzz", []))


@pytest.mark.parametrize("kind", [kind for kind in TREE if issubclass(kind, OperationError)])
def test_an_operation_error_names_a_cause(kind: type[OperationError]) -> None:
    assert kind.cause in FailureCause
