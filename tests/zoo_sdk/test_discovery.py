"""Operations found through entry points, and entry points that are wrong."""

import sys
from importlib.metadata import EntryPoint

import pytest

from zoo_sdk import discovery
from zoo_sdk.discovery import ENTRY_POINT_GROUP, InvalidPlugin, discover_operations, find_operation, load_implementation
from zoo_sdk.errors import UnknownName


def offer(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in points]
    monkeypatch.setattr(discovery, "entry_points", lambda group: found if group == ENTRY_POINT_GROUP else [])


def test_installed_operations_are_found_by_name() -> None:
    assert {"example.make", "example.score", "example.wait"} <= set(discover_operations())
    assert find_operation("example.wait").name == "example.wait"


def test_an_unknown_operation_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"example\.wait"):
        find_operation("example.waitt")


def test_two_plugins_with_one_name_are_a_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("example.make", "zoo_example.specs:MAKE"), ("example.make", "zoo_example.specs:MAKE"))
    with pytest.raises(InvalidPlugin, match=r"Two plugins offer 'example\.make'"):
        find_operation("example.make")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("zoo_example.nowhere:MAKE", "cannot be imported"),
        ("zoo_example.specs:NOTHING", "cannot be imported"),
        ("zoo_example.specs:MakeParams", "not an OperationSpec"),
        ("zoo_example.specs:SCORE", r"named 'example\.score' inside"),
    ],
)
def test_a_broken_entry_point_is_named(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    offer(monkeypatch, ("example.make", value))
    with pytest.raises(InvalidPlugin, match=reason) as caught:
        find_operation("example.make")
    assert value in str(caught.value)


def test_a_broken_plugin_is_logged_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offer(
        monkeypatch,
        ("example.make", "zoo_example.nowhere:MAKE"),
        ("example.score", "zoo_example.specs:SCORE"),
        ("example.wait", "zoo_example.specs:WAIT"),
        ("example.wait", "zoo_example.specs:WAIT"),
    )
    assert [*discover_operations()] == ["example.score"]
    assert find_operation("example.score").name == "example.score"
    assert "the operation example.make is not offered" in caplog.text
    assert "The entry point example.make = zoo_example.nowhere:MAKE" in caplog.text
    assert "Two plugins offer 'example.wait'" in caplog.text


def test_the_implementation_is_imported_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "zoo_example.wait", raising=False)
    spec = find_operation("example.wait")
    assert "zoo_example.wait" not in sys.modules
    assert load_implementation(spec).__module__ == "zoo_example.wait"  # type: ignore[attr-defined]
