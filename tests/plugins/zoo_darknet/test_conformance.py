"""Every operation of zoo-darknet passes the suite that a third party's plugin would have to pass."""

from pathlib import Path

from tests.plugins.zoo_darknet.generated import CLASSIFIER, write_network
from tests.zoo_vision.samples import inputs
from zoo_sdk.conformance import Case, PluginConformance
from zoo_sdk.context import Inputs


def network(folder: Path) -> Inputs:
    return inputs(model=write_network(folder, CLASSIFIER))


class TestConformance(PluginConformance):
    distribution = "zoo-darknet"
    cases = (Case("darknet.export_onnx", params={"parity_samples": 3}, inputs=network),)
