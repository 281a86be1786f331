"""Names, references and paths."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from zoo_sdk.errors import InvalidInput
from zoo_sdk.names import MAX_PATH_LENGTH, Digest, Name, Reference, checked_path

NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?", fullmatch=True)
SELECTORS = st.one_of(st.none(), st.integers(1, 10**6).map(str), st.sampled_from(["production", "best-int8"]))
SEGMENTS = st.text(alphabet="abcXYZ019._- é", min_size=1, max_size=20).filter(lambda text: text not in {".", ".."})


@given(NAMES, NAMES, SELECTORS)
def test_a_reference_reads_back_as_it_was_written(team: str, name: str, selector: str | None) -> None:
    reference = Reference(team=team, name=name, selector=selector)
    assert Reference.parse(str(reference)) == reference


def test_a_reference_may_pick_an_artifact_by_path() -> None:
    reference = Reference.parse("vision/resnet50@3#onnx/model.onnx")
    assert (reference.number, reference.path) == (3, "onnx/model.onnx")


def test_an_alias_is_no_number() -> None:
    assert Reference.parse("vision/resnet50@production").number is None
    assert Reference.parse("vision/resnet50").number is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "resnet50",
        "vision/",
        "/resnet50",
        "a/b/c",
        "vision/res net",
        "vision/resnet@",
        "vision/x@1@2",
        "v/x#",
        "v/x@\0",
        "v/x@1#a\0",
        "v/x@1\n",
    ],
)
def test_what_is_no_reference_is_refused_and_the_form_is_shown(text: str) -> None:
    with pytest.raises(InvalidInput, match="vision/resnet50@3"):
        Reference.parse(text)


@pytest.mark.parametrize("text", ["Vision/resnet", "vision/-resnet", "vision/resnet.", "vision/" + "a" * 97])
def test_a_reference_with_a_wrong_name_says_which_part(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"not a valid (team|name) name"):
        Reference.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused_as_invalid_input(text: str) -> None:
    with suppress(InvalidInput):
        assert str(Reference.parse(text)) == text


@given(st.lists(SEGMENTS, min_size=1, max_size=5))
def test_ordinary_paths_are_kept(segments: list[str]) -> None:
    path = "/".join(segments)
    if path.startswith("~"):
        return
    assert checked_path(path) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("~/x", "absolute"),
        ("../x", "segment '..'"),
        ("a/../b", "segment '..'"),
        ("a/./b", r"segment '\.'"),
        ("a//b", "segment ''"),
        ("a/", "segment ''"),
        ("a\\b", "POSIX"),
        ("C:x", "POSIX"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\u202eb", "control"),
        ("e\u0301", "NFC"),
        ("a" * (MAX_PATH_LENGTH + 1), "longer"),
        ("é" * 101, "longer than 200 bytes"),
    ],
)
def test_a_dangerous_path_is_refused_with_its_reason(path: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        checked_path(path)


@given(st.text(max_size=50))
def test_an_accepted_path_stays_below_its_folder(text: str) -> None:
    try:
        path = checked_path(text)
    except InvalidInput:
        return
    assert not path.startswith("/")
    assert not {"..", ".", ""} & set(path.split("/"))
    assert "\0" not in path


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "ä", "a/b", "a" * 97])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


@pytest.mark.parametrize("digest", ["", "ab" * 32, "sha256:" + "AB" * 32, "sha256:" + "ab" * 31, "md5:" + "ab" * 16])
def test_a_digest_is_whole_and_lower_case(digest: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Digest).validate_python(digest)
    assert TypeAdapter(Digest).validate_python("sha256:" + "ab" * 32)
