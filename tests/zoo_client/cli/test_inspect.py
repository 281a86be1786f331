"""``zoo inspect FILE``: offline, without a registry, by the registry's own rules."""

from pathlib import Path

from tests.zoo_client.conftest import Zoo
from tests.zoo_inspection.samples import onnx_bytes

PICKLE = b"\x80\x02cos\nsystem\nU\x02lsR."


def test_a_file_is_described_with_ports_counts_versions_and_layers(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_bytes())
    found = zoo("inspect", str(path))
    assert found.code == 0, found.err
    for words in ("onnx", "108", "fp32", "ai.onnx", "? x 3 x 8 x 8", "conv", "Conv", "no findings"):
        assert words in found.out, words


def test_its_json_is_the_registrys_inspection_with_the_first_rows_of_a_table(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_bytes())
    (told,) = zoo("inspect", str(path), "--json", "--table", "weights", "--rows", "1").json["results"]
    assert (told["reference"], told["format"], told["facts"]["parameters"]) == (None, "onnx", 108)
    assert told["table"]["rows"] == [["conv.weight", "float32", [4, 3, 3, 3]]]
    assert "rows" not in told["facts"]["weights"]


def test_a_dangerous_pickle_is_named_and_not_loaded(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(PICKLE)
    (told,) = zoo("inspect", str(path), "--json").json["results"]
    assert told["severity"] == "dangerous"
    assert "dangerous" in zoo("inspect", str(path)).out


def test_a_file_that_is_not_there_is_said_to_be_missing(zoo: Zoo, tmp_path: Path) -> None:
    found = zoo("inspect", str(tmp_path / "none.onnx"))
    assert found.code == 4, found.code
    assert "There is no file" in found.err
