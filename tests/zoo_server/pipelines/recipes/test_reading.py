"""YAML as it is read: plain values with their places, and nothing that could surprise."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo_server.pipelines.recipes.faults import InvalidRecipe, Mark
from zoo_server.pipelines.recipes.reading import MAX_BYTES, plain_value, read_document


def fault_of(text: str) -> Any:
    with pytest.raises(InvalidRecipe) as caught:
        read_document(text, file="r.yaml")
    return caught.value.faults[0]


def test_every_key_and_list_entry_knows_its_place() -> None:
    document = read_document("a: 1\nb:\n  - x\n  - {c: y}\n", file="r.yaml")
    assert document.value == {"a": 1, "b": ["x", {"c": "y"}]}
    assert document.marks[("a",)] == Mark(1, 1)
    assert document.marks[("b", 1)] == Mark(4, 5)
    assert document.marks[("b", 1, "c")] == Mark(4, 6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5e-4", 0.0005),
        ("0.1", 0.1),
        ("-2", -2),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("on", "on"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("2026-11-24", "2026-11-24"),
        ("1_000", "1_000"),
        ("true", True),
        ("~", None),
        ("", None),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)


def test_a_quoted_number_is_a_text() -> None:
    assert read_document("a: '1'\nb: |\n  2\n", file="r.yaml").value == {"a": "1", "b": "2\n"}


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\nb: &x 2\n", 2, 4, "Anchors and aliases"),
        ("a: *x\n", 1, 4, "Anchors and aliases"),
        ("a: 1\na: 2\n", 2, 1, "given on line 1 already"),
        ("a: {b: 1, b: 2}\n", 1, 11, "given on line 1 already"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, 4, "tag"),
        ("a: !!int '1'\n", 1, 4, "tag"),
        ("a: .nan\n", 1, 1, "not a finite number"),
        ("a: 1e999\n", 1, 1, "not a finite number"),
        ("a: 99999999999999999999\n", 1, 1, "too large"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("", 1, 1, "empty"),
        ("a: [1, 2\n", 2, 1, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, 1, "not YAML"),
        ("a: b: c\n", 1, 5, "not YAML"),
        ("? [a]\n: 1\n", 1, 3, "must be a text"),
        ("a: \x07\n", 1, 4, "not allowed in YAML"),
        ("a: \ud800\n", 1, 4, "not allowed in YAML"),
        ('a: "\\0"\n', 1, 4, "NUL"),
        ('a: "\\ud800"\n', 1, 4, "half a character"),
        ("a: " + "[" * 30 + "]" * 30, 1, 24, "deeper than"),
        ("a: " + "x" * 20_000, 1, 4, "characters"),
        ("k" * 200 + ": 1", 1, 1, "longer than 100"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_at_its_place(text: str, line: int, column: int, message: str) -> None:
    fault = fault_of(text)
    assert (fault.file, fault.mark) == ("r.yaml", Mark(line, column))
    assert message in fault.message


def test_a_reference_in_a_flow_mapping_without_quotes_is_explained() -> None:
    fault = fault_of("inputs: {data: ${inputs.data}}\n")
    assert fault.mark == Mark(1, 17)
    assert 'write references in quotes: "${inputs.data}"' in fault.allowed


def test_an_alias_bomb_and_a_flood_of_values_end_early() -> None:
    started = time.monotonic()
    bomb = "a: &a [x, x]\n" + "".join(f"{name}: &{name} [*a, *a]\n" for name in "bcdefgh")
    assert "Anchors" in fault_of(bomb).message
    assert "more than 20000 values" in fault_of("a: [" + "1," * 30_000 + "]").message
    assert "bytes" in fault_of("a: " + "é" * MAX_BYTES).message
    assert time.monotonic() - started < 10


def place_of_refusal(text: str) -> str:
    """How the refusal of ``text`` begins; empty: it was read."""
    try:
        read_document(text, file="r.yaml")
    except InvalidRecipe as error:
        return error.detail
    return ""


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    assert re.match(r"r\.yaml:\d+:\d+: |\Z", place_of_refusal(text))


@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`#$ \nabc0.~", max_size=80))
def test_any_yaml_like_text_is_read_or_refused_with_a_place(text: str) -> None:
    assert re.match(r"r\.yaml:\d+:\d+: |\Z", place_of_refusal(text))
