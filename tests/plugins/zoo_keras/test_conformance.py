"""Every operation of zoo-keras passes the suite that a third party's plugin would have to pass."""

from pathlib import Path

from tests.plugins.zoo_keras.old_files import PREPROCESSING, digits_network, item_for, write_old_h5
from tests.zoo_vision.samples import inputs, npz_digits
from zoo_sdk.conformance import Case, PluginConformance
from zoo_sdk.context import Inputs


def model_and_data(folder: Path) -> Inputs:
    path = write_old_h5(digits_network(), folder / "digits.h5")
    return inputs(model=item_for(path, preprocessing=PREPROCESSING), data=npz_digits(folder / "data"))


def model_only(folder: Path) -> Inputs:
    return inputs(model=item_for(write_old_h5(digits_network(), folder / "digits.h5"), preprocessing=PREPROCESSING))


class TestConformance(PluginConformance):
    distribution = "zoo-keras"
    cases = (
        Case("keras.export_onnx", params={"parity_samples": 40}, inputs=model_and_data),
        Case("keras.evaluate", params={"limit": 50}, inputs=model_and_data),
        Case("keras.benchmark", params={"seconds": 0.05, "warmup": 1}, inputs=model_only),
    )
