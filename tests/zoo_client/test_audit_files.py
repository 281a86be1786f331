"""The audit log as files: every event, no formulas, and checkpoints that only a trusted key can have signed."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_client.trust.conftest import Signer
from zoo_client.audit_files import COLUMNS, read_checkpoints, write_csv, write_jsonl
from zoo_sdk.attestations import CHECKPOINT_PAYLOAD, canonical
from zoo_sdk.errors import IntegrityError


def event(**changes: Any) -> dict[str, Any]:
    plain = dict.fromkeys(COLUMNS) | {"sequence": 7, "actor": "ada", "details": {"comment": 'a "b"\nc'}}
    return plain | changes


def test_json_lines_hold_every_event_whole():
    file = io.StringIO()
    assert write_jsonl([event(), event(sequence=6)], file) == 2
    assert [json.loads(line)["sequence"] for line in file.getvalue().splitlines()] == [7, 6]
    assert json.loads(file.getvalue().splitlines()[0]) == event()


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_table_holds_every_event_and_no_formula(name: str):
    file = io.StringIO(newline="")
    assert write_csv([event(object_name=name)], file) == 1
    heading, row = csv.reader(io.StringIO(file.getvalue(), newline=""))
    cells = dict(zip(heading, row, strict=True))
    assert tuple(heading) == COLUMNS
    assert (cells["sequence"], cells["actor"], cells["object_name"]) == ("7", "ada", f"'{name}")
    assert json.loads(cells["details"]) == event()["details"]


def checkpoint(signer: Signer, sequence: int, link: str) -> str:
    return json.dumps(signer.envelope(canonical({"sequence": sequence, "hash": link}), CHECKPOINT_PAYLOAD))


def test_checkpoints_are_read_if_a_trusted_key_signed_them(tmp_path: Path):
    signer, stranger = Signer(), Signer()
    path = tmp_path / "checkpoints.jsonl"
    path.write_text("\n".join(checkpoint(signer, number, f"sha256:{number}") for number in (0, 3, 9)))
    keys = {signer.id: signer.pem}
    assert read_checkpoints(path, keys) == {3: "sha256:3", 9: "sha256:9"}
    for bad, reason in (
        (checkpoint(stranger, 3, "sha256:3"), "line 2 is not signed"),
        (checkpoint(signer, 3, "sha256:4"), "line 2 names another hash"),
        ("{}", "line 2 is no checkpoint"),
    ):
        path.write_text(f"{checkpoint(signer, 3, 'sha256:3')}\n{bad}\n")
        with pytest.raises(IntegrityError, match=reason):
            read_checkpoints(path, keys)
