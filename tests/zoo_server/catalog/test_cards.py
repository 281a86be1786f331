"""Model cards: front matter is data, bounded, and its errors name the line."""

import pytest

from zoo_sdk.errors import InvalidInput
from zoo_server.catalog.cards import MAX_CARD_BYTES, parse_card


def card(front_matter: str, text: str = "# Title\n") -> str:
    return f"---\n{front_matter}\n---\n{text}"


@pytest.mark.parametrize("text", ["", "# Only text", "text\n---\na: 1\n---\n", card(""), card("# a comment")])
def test_a_card_without_front_matter_has_no_metadata(text: str) -> None:
    assert parse_card(text).metadata == {}


def test_front_matter_is_read_with_windows_line_ends_too() -> None:
    assert parse_card("---\r\nlicense: mit\r\ntags: one\r\n---\r\ntext").licence == "mit"


def test_both_spellings_of_licence_are_known() -> None:
    assert parse_card(card("licence: mit")).licence == parse_card(card("license: mit")).licence == "mit"


@pytest.mark.parametrize(
    ("front_matter", "line", "reason"),
    [
        ("a: 1\nb: [1, 2", 3, "wrong YAML"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']", 3, "wrong YAML"),
        ("a: &x [1]\nb: *x", 3, "aliases are not allowed"),
        ("a: " + "[" * 25 + "]" * 25, 2, "nested deeper"),
        ("- a list", 2, "not a mapping"),
        ("a: 1\n7: seven", 3, "not text"),
        ("a: 1\nb: .nan", 3, "nan"),
        ("a: 1\nb: !!binary aGVsbG8=", 3, "bytes"),
        ("title: x\nlicense: [mit]", 3, "license"),
        ("title: x\ntags: {a: b}", 3, "tags"),
        ("title: x\ntags: ['']", 3, "tags"),
        ('title: x\nnote: "\\0"', 3, "NUL"),
        ('title: x\nnote: ["\\ud800"]', 3, "half a character"),
    ],
)
def test_wrong_front_matter_is_refused_with_its_line(front_matter: str, line: int, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        parse_card(card(front_matter))
    assert caught.value.facts == {"field": "card", "line": line}
    assert f"(line {line})" in caught.value.detail


def test_front_matter_without_an_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without an end"):
        parse_card("---\na: 1\n")


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InvalidInput, match="aliases are not allowed"):
        parse_card(card("\n".join(levels)))


def test_a_card_beyond_the_limit_is_refused() -> None:
    parse_card("x" * MAX_CARD_BYTES)
    with pytest.raises(InvalidInput, match="larger than 256 KiB"):
        parse_card("ä" * (MAX_CARD_BYTES // 2 + 1))
