"""Every operation of zoo-tensorrt passes the suite that a third party's plugin would have to pass, on a stand-in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo_vision.samples import context_for, inputs, made_item, npz_digits, onnx_item, write_digits_model
from zoo_sdk.conformance import Case, PluginConformance
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.execution import LocalContext, run_operation
from zoo_tensorrt.specs import BUILD


@pytest.fixture(scope="module", autouse=True)
def _on_a_gpu() -> Iterator[None]:
    """The suite runs its cases on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalContext, "devices", ("cuda:0",))
        patch.setattr(LocalContext.__init__, "__defaults__", _with_gpu(LocalContext.__init__.__defaults__))
        yield


def _with_gpu(defaults: tuple[object, ...] | None) -> tuple[object, ...]:
    return tuple(("cuda:0",) if value == ("cpu",) else value for value in defaults or ())


def onnx_and_data(folder: Path) -> Inputs:
    return inputs(model=onnx_item(write_digits_model(folder / "digits.onnx")), data=npz_digits(folder / "data"))


def plan(folder: Path) -> InputItem:
    context = context_for(BUILD, folder, devices=("cuda:0",))
    run_operation(BUILD, {"parity_samples": 8}, inputs(model=onnx_item(write_digits_model(folder / "m.onnx"))), context)
    return made_item(context)


def plan_and_data(folder: Path) -> Inputs:
    return inputs(model=plan(folder), data=npz_digits(folder / "data"))


def plan_only(folder: Path) -> Inputs:
    return inputs(model=plan(folder))


class TestConformance(PluginConformance):
    distribution = "zoo-tensorrt"
    cases = (
        Case("tensorrt.build", params={"parity_samples": 32}, inputs=onnx_and_data),
        Case("tensorrt.evaluate", params={"limit": 100}, inputs=plan_and_data),
        Case("tensorrt.benchmark", params={"seconds": 0.05, "warmup": 1}, inputs=plan_only),
    )
