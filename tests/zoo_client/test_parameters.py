"""Parameters from the command line, typed by the schema that a real operation has."""

from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import Field

from zoo_client.parameters import allowed_text, default_text, typed_parameters
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.operations import OperationParams


class Shade(StrEnum):
    DARK = "dark"
    LIGHT = "light"


class Params(OperationParams):
    epochs: int = Field(4, ge=1, le=1000)
    rate: float = 0.1
    limit: int | None = Field(None, gt=0)
    name: str = "x"
    mode: Literal["kd", "dkd"] = "kd"
    width: Literal[1, 3] = 3
    shade: Shade = Shade.DARK
    flag: bool = False
    sizes: list[int] = []
    options: dict[str, float] = {}
    needed: str


SCHEMA = Params.model_json_schema()


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("epochs=7", 7),
        ("rate=2", 2),
        ("rate=1e-3", 0.001),
        ("limit=null", None),
        ("limit=5", 5),
        ("name=007", "007"),
        ("name=a=b", "a=b"),
        ("mode=dkd", "dkd"),
        ("width=1", 1),
        ("shade=light", "light"),
        ("flag=true", True),
        ("flag=no", False),
        ("sizes=[1, 2]", [1, 2]),
        ('options={"a": 0.5}', {"a": 0.5}),
    ],
)
def test_a_value_gets_the_type_of_its_schema(pair: str, value: Any) -> None:
    parsed = typed_parameters(SCHEMA, [pair])
    assert list(parsed.values()) == [value]
    assert type(next(iter(parsed.values()))) is type(value)
    Params(**{"needed": "", **parsed})


@pytest.mark.parametrize("pair", ["epochs=seven", "epochs=1.5", "epochs=true", "mode=xkd", "flag=maybe", "sizes=1"])
def test_a_text_of_no_allowed_type_is_refused_with_what_is_allowed(pair: str) -> None:
    with pytest.raises(InvalidInput, match="is none of"):
        typed_parameters(SCHEMA, [pair])


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean epochs"):
        typed_parameters(SCHEMA, ["epoch=3"])


def test_a_pair_without_equals_sign_is_refused() -> None:
    with pytest.raises(InvalidInput, match="key=value"):
        typed_parameters(SCHEMA, ["epochs"])


def test_bounds_choices_and_defaults_are_shown_to_people() -> None:
    fields = SCHEMA["properties"]
    assert allowed_text(fields["epochs"], SCHEMA) == "integer ≥ 1 ≤ 1000"
    assert allowed_text(fields["limit"], SCHEMA) == "integer > 0 or null"
    assert allowed_text(fields["shade"], SCHEMA) == "dark | light"
    assert default_text("epochs", fields["epochs"], SCHEMA) == "4"
    assert default_text("needed", fields["needed"], SCHEMA) == "required"
