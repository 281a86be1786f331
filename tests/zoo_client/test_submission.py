"""The options that are an operation's ports."""

import pytest

from zoo_client.submission import read_inputs, read_outputs
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.operations import OperationManifest, Port, Resources
from zoo_sdk.vocabulary import StrategyKind

DISTILL = OperationManifest(
    name="torch.distill",
    version=1,
    summary="Distil.",
    params_schema={},
    inputs=(
        Port(name="student"),
        Port(name="teacher", many=True, weighted=True),
        Port(name="extra_data", required=False),
    ),
    outputs=(Port(name="model"), Port(name="log")),
    resources=Resources(),
    deterministic=True,
    strategy=StrategyKind.DISTILLATION,
    method="kd",
)


def inputs(text: str) -> dict[str, object]:
    return read_inputs(DISTILL, text.split(), fixed_options=("--param", "--watch"))


def test_ports_are_options_and_weights_follow_an_equals_sign() -> None:
    assert inputs("--student a/b@1 --teacher a/c@2 --teacher=a/d@prod=0.5 --extra-data a/e@1") == {
        "student": "a/b@1",
        "teacher": ["a/c@2", {"version": "a/d@prod", "weight": 0.5}],
        "extra_data": "a/e@1",
    }


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("--student a/b@1 --techer a/c@2", UnknownName, "--teacher"),
        ("--student a/b@1 --teacher a/c@1 --wach", UnknownName, "--watch"),
        ("--student a/b@1", InvalidInput, "needs the input teacher"),
        ("--student a/b@1 --student a/c@1 --teacher a/c@1", InvalidInput, "one version only"),
        ("--student a/b@1=0.5 --teacher a/c@1", InvalidInput, "takes no weights"),
        ("--student a/b@1 --teacher a/c@1=much", InvalidInput, "is not a number"),
        ("--student a/b@1 --teacher a/c@1=nan", InvalidInput, "is not a number"),
        ("--student --teacher a/c@1", InvalidInput, "needs a value"),
        ("stray --student a/b@1", InvalidInput, "belongs to no option"),
        ("--student B@1 --teacher a/c@1", InvalidInput, "is not a reference"),
    ],
)
def test_wrong_inputs_are_refused_with_the_way_out(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        inputs(text)


def test_an_output_goes_to_the_first_port_unless_one_is_named() -> None:
    assert read_outputs(DISTILL, ["a/b", "log=a/c"]) == {"model": "a/b", "log": "a/c"}
    with pytest.raises(UnknownName, match="model"):
        read_outputs(DISTILL, ["modle=a/b"])
    with pytest.raises(InvalidInput, match="names a version"):
        read_outputs(DISTILL, ["a/b@3"])
