"""Packed files come back as they were written, and files made to do harm are refused."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.zoo_vision.integer.networks import small_network
from zoo_sdk.errors import InvalidInput
from zoo_vision.integer import files
from zoo_vision.integer.files import METADATA_KEY, describe, read_network, write_network

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def changed(path: Path, change: Change) -> Path:
    """A copy in which ``change(tensors, graph)`` altered something."""
    tensors = load_file(path)
    header = json.loads(path.read_bytes()[8 : 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]])
    graph = json.loads(header["__metadata__"][METADATA_KEY])
    change(tensors, graph)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(graph)})
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_network(small_network(), tmp_path / "model.integers")
    return tmp_path / "model.integers"


def test_a_network_comes_back_as_it_was_written(written: Path) -> None:
    network, read = small_network(), read_network(written, "test")
    assert read.graph == network.graph
    for name, layer in network.layers.items():
        for part in ("weights", "multiplier", "bias"):
            assert np.array_equal(getattr(read.layers[name], part), getattr(layer, part))
            assert getattr(read.layers[name], part).dtype == getattr(layer, part).dtype


def test_equal_networks_are_equal_files(written: Path, tmp_path: Path) -> None:
    write_network(small_network(), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == written.read_bytes()


def test_weights_take_as_many_bits_as_they_have(written: Path) -> None:
    sizes = {name: array.nbytes for name, array in load_file(written).items()}
    assert sizes["first.codes"] == 6 * 2 * 9
    assert sizes["second.weight"] == 4 * 6 * 4
    assert sizes["head.codes"] == 5 * 4 // 2


def test_a_description_counts_layers_and_bits() -> None:
    facts = describe(small_network().graph)
    assert (facts["nodes"], facts["layers"], facts["layers_in_float"]) == (5, 3, 1)
    assert (facts["weight_bits"], facts["activation_bits"]) == ([4, 8], [3, 8])


def _drop(name: str) -> Change:
    return lambda tensors, graph: tensors.__delitem__(name)


def _set(name: str, value: Any) -> Change:
    return lambda tensors, graph: tensors.update({name: value})


def _rename(tensors: dict[str, Any], graph: dict[str, Any]) -> None:
    graph["nodes"][0]["name"] = "../../etc/passwd"


def _grow(tensors: dict[str, Any], graph: dict[str, Any]) -> None:
    graph["nodes"][4]["outputs"] = 2**20


def _many_weights(tensors: dict[str, Any], graph: dict[str, Any]) -> None:
    graph["nodes"][0]["outputs"] = 2**20
    graph["nodes"][1]["inputs_per_group"] = 2**20
    graph["nodes"][1]["outputs"] = 2**20
    graph["nodes"][4]["inputs"] = 2**20


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_drop("head.codes"), "damaged"),
        (_drop("first.bias"), "damaged"),
        (_set("head.codes", np.zeros(9, np.uint8)), "not U8"),
        (_set("head.codes", np.zeros(10, np.int8)), "not U8"),
        (_set("head.bias", np.zeros(5, np.float64)), "not F32"),
        (_set("head.bias", np.full(5, np.nan, np.float32)), "not finite"),
        (_set("head.multiplier", np.full(5, np.inf, np.float32)), "not finite"),
        (_set("extra", np.zeros(5, np.float32)), "does not use, such as extra"),
        (_rename, "wrong graph"),
        (_grow, "not F32"),
        (_many_weights, "weights, more than"),
    ],
)
def test_tensors_that_disagree_with_the_graph_are_refused(written: Path, change: Change, fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        read_network(changed(written, change), "vision/bad@1")


def test_a_file_cut_short_or_of_another_kind_is_refused(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    for number, bad in enumerate((content[:-1], content[:20], b"", b"PK\x03\x04", struct.pack("<Q", 2**60) + b"{}")):
        path = tmp_path / f"bad{number}"
        path.write_bytes(bad)
        with pytest.raises(InvalidInput, match="damaged"):
            read_network(path, "vision/bad@1")


def test_plain_weights_without_a_graph_are_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "plain")
    with pytest.raises(InvalidInput, match="has no graph"):
        read_network(tmp_path / "plain", "vision/plain@1")


def test_files_and_graphs_above_the_limits_are_refused(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_GRAPH_CHARACTERS", 100)
    with pytest.raises(InvalidInput, match="characters, more than 100"):
        read_network(written, "vision/large@1")
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    with pytest.raises(InvalidInput, match="bytes, more than 100"):
        read_network(written, "vision/large@1")
