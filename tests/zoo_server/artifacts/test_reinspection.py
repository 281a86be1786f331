"""Looking again at files whose inspection is of an older inspector version."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tests.zoo_inspection.samples import onnx_bytes, safetensors
from zoo_inspection import INSPECTOR_VERSION
from zoo_server.artifacts.models import Blob
from zoo_server.artifacts.reinspection import inspect_again, waiting_blobs
from zoo_server.artifacts.selectors import blob_store
from zoo_server.audit.models import AuditEvent
from zoo_server.rest.principals import SYSTEM

pytestmark = pytest.mark.django_db
Upload = Callable[..., dict[str, Any]]
PICKLE = b"\x80\x02cos\nsystem\nU\x02lsR."


def outdated(upload_bytes: Upload, data: bytes, name: str) -> Blob:
    """An uploaded file whose inspection older rules made: they knew nothing."""
    done = upload_bytes(data, filename=name)
    Blob.objects.filter(pk=done["sha256"]).update(inspector=0, format="opaque", facts={}, findings=[])
    return Blob.objects.get(pk=done["sha256"])


def outcome_of(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("inspect_again", "--json", *words, stdout=out, stderr=StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_a_new_file_is_inspected_by_the_rules_of_today(upload_bytes: Upload) -> None:
    upload_bytes(onnx_bytes(), filename="m.onnx")
    assert Blob.objects.get().inspector == INSPECTOR_VERSION
    assert waiting_blobs() == 0


def test_older_inspections_are_made_anew_and_what_changed_is_recorded(upload_bytes: Upload) -> None:
    blob = outdated(upload_bytes, onnx_bytes(), "m.onnx")
    (look,) = inspect_again(principal=SYSTEM)
    blob.refresh_from_db()
    assert (look.outcome, blob.format, blob.inspector) == ("changed", "onnx", INSPECTOR_VERSION)
    assert blob.facts["precision"] == "fp32"
    event = AuditEvent.objects.get(action="blob.inspected_again")
    assert event.details["format"] == {"before": "opaque", "after": "onnx"}
    assert list(inspect_again(principal=SYSTEM)) == []


def test_the_name_of_the_upload_counts_again(upload_bytes: Upload) -> None:
    blob = outdated(upload_bytes, safetensors({"w": ("F32", [2], 8)}), "m.onnx")
    list(inspect_again(principal=SYSTEM))
    blob.refresh_from_db()
    assert "It is called 'm.onnx', but its bytes are safetensors." in [item["reason"] for item in blob.findings]


def test_a_run_that_was_broken_off_is_continued_by_the_next(upload_bytes: Upload) -> None:
    for number in range(5):
        outdated(upload_bytes, safetensors({"w": ("F32", [number + 1], 4 * number + 4)}), "m.safetensors")
    assert outcome_of("--limit", "2")["left"] == 3
    assert outcome_of("--seconds", "0")["looked_at"] == 0
    assert (outcome_of()["changed"], waiting_blobs()) == (3, 0)
    assert outcome_of("--all")["unchanged"] == 5


def test_a_file_whose_bytes_are_gone_stays_as_it_is_and_is_named(upload_bytes: Upload, store: Path) -> None:
    blob = outdated(upload_bytes, onnx_bytes(), "m.onnx")
    blob_store().blob_path(blob.pk).unlink()  # type: ignore[attr-defined]
    assert outcome_of() == {
        "inspector": INSPECTOR_VERSION, "looked_at": 1, "changed": 0, "unchanged": 0, "missing": 1, "left": 1,
        "dangerous": [],
    }  # fmt: skip


def test_what_turns_out_to_be_dangerous_is_named_with_the_versions_that_hold_it(upload_bytes: Upload) -> None:
    blob = outdated(upload_bytes, PICKLE, "m.pkl")
    assert outcome_of()["dangerous"] == [{"sha256": blob.pk, "versions": []}]
