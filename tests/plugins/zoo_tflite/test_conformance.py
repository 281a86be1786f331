"""Every operation of zoo-tflite passes the suite that a third party's plugin would have to pass."""

from pathlib import Path

from tests.zoo_vision.samples import context_for, inputs, made_item, npz_digits, onnx_item, write_digits_model
from zoo_sdk.conformance import Case, PluginConformance
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.execution import run_operation
from zoo_tflite.specs import CONVERT


def converted(folder: Path) -> InputItem:
    context = context_for(CONVERT, folder)
    model = onnx_item(write_digits_model(folder / "digits.onnx"))
    run_operation(CONVERT, {"parity_samples": 8}, inputs(model=model), context)
    return made_item(context)


def onnx_and_data(folder: Path) -> Inputs:
    return inputs(model=onnx_item(write_digits_model(folder / "digits.onnx")), data=npz_digits(folder / "data"))


def model_and_data(folder: Path) -> Inputs:
    return inputs(model=converted(folder), data=npz_digits(folder / "data"))


def model_only(folder: Path) -> Inputs:
    return inputs(model=converted(folder))


class TestConformance(PluginConformance):
    distribution = "zoo-tflite"
    cases = (
        Case("tflite.convert", params={"parity_samples": 32}, inputs=onnx_and_data),
        Case("tflite.evaluate", params={"limit": 100}, inputs=model_and_data),
        Case("tflite.benchmark", params={"seconds": 0.1, "warmup": 1}, inputs=model_only),
    )
