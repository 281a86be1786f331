"""ONNX to ONNX: optimised, in half precision, in another operator set; each compared with its source."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.zoo_vision.samples import context_for, inputs, made_item, measured, npz_digits, onnx_item, write_digits_model
from zoo_onnxruntime import opsets
from zoo_onnxruntime.specs import CONVERT_FP16, CONVERT_OPSET, OPTIMISE, QUANTIZE
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed, UnknownName
from zoo_sdk.execution import LocalContext, run_operation
from zoo_sdk.operations import OperationSpec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return onnx_item(write_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("data"))


def made(spec: OperationSpec, item: InputItem, folder: Path, **params: Any) -> LocalContext:
    """The operation on random inputs."""
    context = context_for(spec, folder)
    run_operation(spec, {"parity_samples": 40, **params}, inputs(model=item), context)
    return context


def graph_of(context: LocalContext) -> onnx.ModelProto:
    return onnx.load(str(context.output() / "model.onnx"))


def edited(folder: Path, change: Any) -> InputItem:
    loaded = onnx.load(str(write_digits_model(folder / "edited.onnx")))
    change(loaded)
    onnx.save(loaded, str(folder / "edited.onnx"))
    return onnx_item(folder / "edited.onnx")


def test_basic_optimisation_folds_what_standard_operations_can_say(tmp_path: Path) -> None:
    def with_identities(loaded: onnx.ModelProto) -> None:
        loaded.graph.node[0].output[0] = "before"
        loaded.graph.node.insert(1, helper.make_node("Identity", ["before"], ["a"]))
        loaded.graph.node.insert(2, helper.make_node("Dropout", ["a"], ["kept"]))
        loaded.graph.node[3].input[0] = "kept"

    context = made(OPTIMISE, edited(tmp_path, with_identities), tmp_path)
    details = context.artifacts["model"][0].details
    assert (details["nodes_before"], details["nodes"], details["operator_sets"]) == (9, 7, [])
    assert [item.domain for item in graph_of(context).opset_import] == [""]
    assert measured(context)["max_abs_diff"] < 1e-5


def test_extended_optimisation_names_the_operator_sets_that_it_brings_in(model: InputItem, tmp_path: Path) -> None:
    context = made(OPTIMISE, model, tmp_path, level="extended")
    assert context.artifacts["model"][0].details["operator_sets"] == ["com.microsoft"]
    assert {node.op_type for node in graph_of(context).graph.node} >= {"FusedConv"}
    assert context.artifacts["model"][0].details["parity"]["inputs"] == "random"


@pytest.mark.parametrize("level", ["all", "layout"])
def test_optimisations_for_one_processor_are_refused_with_the_reason(
    level: str, model: InputItem, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=f"'{level}' optimises for the processor at hand"):
        made(OPTIMISE, model, tmp_path, level=level)


def test_half_precision_halves_the_file_and_keeps_input_and_output_if_asked(
    model: InputItem, data: InputItem, tmp_path: Path
) -> None:
    context = context_for(CONVERT_FP16, tmp_path)
    run_operation(CONVERT_FP16, {}, inputs(model=model, data=data), context)
    artifact = context.artifacts["model"][0]
    assert artifact.precision == "fp16"
    assert artifact.signature
    assert artifact.signature.inputs[0].dtype == artifact.signature.outputs[0].dtype == "float32"
    assert (context.output() / "model.onnx").stat().st_size < 0.65 * model.main_file.stat().st_size
    assert 0 < measured(context)["max_abs_diff"] < 0.05
    assert {item.dataset_port for item in context.measurements} == {"data"}
    onnx.checker.check_model(graph_of(context))


def test_half_precision_throughout_says_so_in_the_signature(model: InputItem, tmp_path: Path) -> None:
    signature = made(CONVERT_FP16, model, tmp_path, keep_io_types=False).artifacts["model"][0].signature
    assert signature
    assert signature.inputs[0].dtype == signature.outputs[0].dtype == "float16"


def test_nodes_that_shall_stay_in_float32_do(model: InputItem, tmp_path: Path) -> None:
    kept = {tensor.name: tensor.data_type for tensor in graph_of(
        made(CONVERT_FP16, model, tmp_path, kept_names=["head"], kept_types=["MaxPool"])
    ).graph.initializer}  # fmt: skip
    assert kept["head_weight"] == TensorProto.FLOAT
    assert kept["depth_weight"] == TensorProto.FLOAT16
    with pytest.raises(UnknownName, match="Did you mean head"):
        made(CONVERT_FP16, model, tmp_path, kept_names=["heads"])
    with pytest.raises(UnknownName, match="Unknown operation type"):
        made(CONVERT_FP16, model, tmp_path, kept_types=["Softmax"])


def test_weights_beyond_half_precision_fail_the_gate_at_the_layer_that_has_them(tmp_path: Path) -> None:
    def huge(loaded: onnx.ModelProto) -> None:
        for name, factor in (("depth_weight", 1e6), ("head_weight", 1e-6)):
            tensor = next(item for item in loaded.graph.initializer if item.name == name)
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))

    with pytest.raises(ParityFailed, match=r"The difference begins at 'd' \(Conv, 4 of 7 layers\)") as caught:
        made(CONVERT_FP16, edited(tmp_path, huge), tmp_path)
    assert caught.value.facts["worst_layer"]["name"] == "d"


def test_half_precision_is_not_converted_again(model: InputItem, tmp_path: Path) -> None:
    first = made(CONVERT_FP16, model, tmp_path / "first")
    with pytest.raises(InvalidInput, match="holds weights in half precision"):
        made(CONVERT_FP16, made_item(first), tmp_path / "second")


@pytest.mark.parametrize("target", [17, 21, 23])
def test_another_operator_set_is_valid_and_computes_the_same(target: int, model: InputItem, tmp_path: Path) -> None:
    context = made(CONVERT_OPSET, model, tmp_path, target_opset=target)
    converted = graph_of(context)
    onnx.checker.check_model(converted)
    assert [(item.domain, item.version) for item in converted.opset_import] == [("", target)]
    details = context.artifacts["model"][0].details
    assert (details["opset"], details["opset_before"]) == (target, 20)
    assert measured(context)["agreement_top1"] == 100


def test_an_operator_set_that_is_too_new_is_refused_by_number(model: InputItem, tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    with pytest.raises(InvalidInput, match=f"target_opset = 900, but ONNX .* knows operator sets up to {newest}"):
        made(CONVERT_OPSET, model, tmp_path, target_opset=900)


@pytest.mark.parametrize("spec", [CONVERT_OPSET, OPTIMISE, CONVERT_FP16, QUANTIZE])
def test_a_file_of_an_operator_set_that_is_too_new_is_refused(
    spec: OperationSpec, data: InputItem, tmp_path: Path
) -> None:
    def too_new(loaded: onnx.ModelProto) -> None:
        loaded.opset_import[0].version = 900

    params = {"target_opset": 21} if spec is CONVERT_OPSET else {}
    with pytest.raises(InvalidInput, match=r"ONNX Runtime .* cannot open 'edited.onnx' of demo/digits@1: .*900"):
        run_operation(spec, params, inputs(model=edited(tmp_path, too_new), data=data), context_for(spec, tmp_path))


def test_what_cannot_be_said_in_an_older_set_is_told(model: InputItem, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=r"cannot convert demo/digits@1 from operator set 20 to 12: .*Relu"):
        made(CONVERT_OPSET, model, tmp_path, target_opset=12)


def test_operations_of_one_runtime_have_no_other_operator_set(model: InputItem, tmp_path: Path) -> None:
    optimised = made(OPTIMISE, model, tmp_path, level="extended")
    with pytest.raises(InvalidInput, match=r"uses operations of com\.microsoft"):
        made(CONVERT_OPSET, made_item(optimised), tmp_path, target_opset=21)


def test_a_converter_that_changes_what_is_computed_is_caught_with_the_layer(
    model: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = opsets.version_converter.convert_version

    def wrongly(loaded: onnx.ModelProto, target: int) -> onnx.ModelProto:
        converted = convert(loaded, target)
        depth = next(node for node in converted.graph.node if node.name == "depth")
        depth.input[2] = "first_bias"
        return converted

    monkeypatch.setattr(opsets.version_converter, "convert_version", wrongly)
    context = context_for(CONVERT_OPSET, tmp_path)
    with pytest.raises(
        ParityFailed, match=r"begins at 'd' \(Conv, 4 of 7 layers\): relative error 0.149 there, 0 before it"
    ):
        run_operation(CONVERT_OPSET, {"target_opset": 21, "min_agreement": 0}, inputs(model=model), context)
    assert not context.artifacts


def test_a_new_file_that_gives_nan_is_refused_with_the_layer(tmp_path: Path) -> None:
    """Values of 1e5 inside are fine in float32, but infinite in half precision, and their difference is NaN."""

    def cancelling(loaded: onnx.ModelProto) -> None:
        loaded.graph.initializer.append(numpy_helper.from_array(np.float32(1e6), "million"))
        loaded.graph.initializer.append(numpy_helper.from_array(np.float32(1e6), "another"))
        loaded.graph.node[0].output[0] = "raw"
        loaded.graph.node.insert(1, helper.make_node("Add", ["raw", "million"], ["large"], name="enlarge"))
        loaded.graph.node.insert(2, helper.make_node("Mul", ["large", "another"], ["larger"]))
        loaded.graph.node.insert(3, helper.make_node("Div", ["larger", "another"], ["smaller"]))
        loaded.graph.node.insert(4, helper.make_node("Sub", ["smaller", "million"], ["a"]))

    with pytest.raises(ParityFailed, match=r"difference begins at 'large\w*' \((Add|Mul)") as caught:
        made(CONVERT_FP16, edited(tmp_path, cancelling), tmp_path)
    assert caught.value.facts["worst_layer"]["position"] in {2, 3}
