"""Every operation of zoo-onnxruntime passes the suite that a third party's plugin would have to pass."""

from pathlib import Path

from tests.zoo_vision.samples import inputs, npz_digits, onnx_item, write_digits_model
from zoo_sdk.conformance import Case, PluginConformance
from zoo_sdk.context import Inputs


def model_and_data(folder: Path) -> Inputs:
    return inputs(model=onnx_item(write_digits_model(folder / "digits.onnx")), data=npz_digits(folder / "data"))


def model_only(folder: Path) -> Inputs:
    return inputs(model=onnx_item(write_digits_model(folder / "digits.onnx")))


class TestConformance(PluginConformance):
    distribution = "zoo-onnxruntime"
    cases = (
        Case("onnxruntime.evaluate", params={"limit": 100}, inputs=model_and_data),
        Case("onnxruntime.benchmark", params={"seconds": 0.1, "warmup": 1}, inputs=model_only),
        Case("onnxruntime.quantize", params={"samples": 20, "parity_samples": 100}, inputs=model_and_data),
        Case("onnxruntime.optimise", params={"level": "extended", "parity_samples": 32}, inputs=model_only),
        Case("onnxruntime.convert_fp16", params={"parity_samples": 32}, inputs=model_and_data),
        Case("onnxruntime.convert_opset", params={"target_opset": 21, "parity_samples": 32}, inputs=model_only),
    )
