"""Plans are built with profiles, types and timings as they should be, and opened only where they run; on a stand-in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.plugins.zoo_tensorrt.stand_in import CALLS, MACHINE, Cuda
from tests.zoo_vision.samples import (
    MACS,
    PARAMETERS,
    PREPROCESSING,
    context_for,
    inputs,
    made_item,
    measured,
    npz_digits,
    onnx_item,
    write_digits_model,
)
from zoo_sdk.context import InputItem
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed
from zoo_sdk.execution import LocalContext, run_operation
from zoo_tensorrt import running
from zoo_tensorrt.sources import precision_of
from zoo_tensorrt.specs import BENCHMARK, BUILD, EVALUATE


@pytest.fixture
def model(tmp_path: Path) -> InputItem:
    return onnx_item(write_digits_model(tmp_path / "digits.onnx"))


def built(model: InputItem, folder: Path, **params: Any) -> LocalContext:
    context = context_for(BUILD, folder, devices=("cuda:0",))
    run_operation(BUILD, {"parity_samples": 40, **params}, inputs(model=model), context)
    return context


def test_a_plan_is_strongly_typed_and_has_a_profile_for_its_dynamic_batch(model: InputItem, tmp_path: Path) -> None:
    context = built(model, tmp_path, min_batch=2, opt_batch=4, max_batch=16, workspace_gib=0.5, optimization_level=1)
    flags, config = CALLS[-1]
    assert flags == 1 << 1
    assert config.profiles[0].shapes == {"image": ((2, 1, 8, 8), (4, 1, 8, 8), (16, 1, 8, 8))}
    assert (config.limits, config.builder_optimization_level) == ({"workspace": 2**29}, 1)
    assert config.cleared == ["tf32"]
    artifact = context.artifacts["model"][0]
    assert (artifact.format, artifact.precision, artifact.runtime) == ("tensorrt-plan", "fp32", "tensorrt")
    assert artifact.preprocessing == PREPROCESSING
    assert measured(context)["agreement_top1"] == 100


def test_the_manifest_says_where_the_plan_runs_and_how_to_build_it_again(model: InputItem, tmp_path: Path) -> None:
    context = built(model, tmp_path, tf32=True)
    manifest = json.loads((context.output() / "manifest.json").read_text())
    assert manifest == context.artifacts["model"][0].details["manifest"]
    assert MACHINE.facts.items() <= manifest.items()
    assert manifest["flags"] == ["STRONGLY_TYPED", "TF32"]
    assert manifest["source"] == "demo/digits@1"
    assert manifest["source_digest"].startswith("sha256:")
    assert manifest["profiles"]["image"]["largest"] == [32, 1, 8, 8]


def test_the_timings_of_a_build_are_used_by_the_next_one_unless_unwanted(model: InputItem, tmp_path: Path) -> None:
    contents = []
    for number, wanted in enumerate((True, True, False)):
        context = context_for(BUILD, tmp_path / f"{number}", devices=("cuda:0",))
        context.place.shared_cache = tmp_path
        run_operation(BUILD, {"parity_samples": 4, "timing_cache": wanted}, inputs(model=model), context)
        cache = CALLS[-1][1].cache
        assert cache
        contents.append(cache.content)
    assert contents == [b"", b"+1", b""]


def test_a_model_of_a_fixed_batch_needs_no_profile(tmp_path: Path) -> None:
    fixed = onnx_item(write_digits_model(tmp_path / "fixed.onnx", batch=4))
    context = built(fixed, tmp_path, parity_samples=6)
    assert CALLS[-1][1].profiles == []
    assert measured(context)["agreement_top1"] == 100


def test_a_plan_is_evaluated_and_timed_and_its_memory_is_given_back(
    model: InputItem, tmp_path: Path, cuda: Cuda
) -> None:
    item = made_item(built(model, tmp_path))
    evaluation, timing = (context_for(spec, tmp_path, devices=("cuda:0",)) for spec in (EVALUATE, BENCHMARK))
    data = npz_digits(tmp_path / "data")
    run_operation(EVALUATE, {"limit": 100, "batch": 32}, inputs(model=item, data=data), evaluation)
    run_operation(BENCHMARK, {"seconds": 0.05, "batch": 2}, inputs(model=item), timing)
    assert measured(evaluation)["top1"] > 80
    assert (measured(evaluation)["parameters"], measured(evaluation)["macs"]) == (PARAMETERS, MACS)
    assert {found.device for found in timing.measurements} == {"cuda:0"}
    assert timing.measurements[0].details["machine"]["gpu"] == MACHINE.gpu
    assert cuda.held == {}


@pytest.mark.parametrize("batch", [1, 64])
def test_a_batch_that_the_plan_was_not_built_for_is_refused(batch: int, model: InputItem, tmp_path: Path) -> None:
    item = made_item(built(model, tmp_path, min_batch=2))
    with pytest.raises(InvalidInput, match=rf"batch = {batch}, but demo/made@1 takes 2 to 32 samples"):
        run_operation(
            BENCHMARK, {"batch": batch}, inputs(model=item), context_for(BENCHMARK, tmp_path, devices=("cuda:0",))
        )


def test_a_plan_of_another_machine_or_without_a_manifest_is_not_opened(model: InputItem, tmp_path: Path) -> None:
    item = made_item(built(model, tmp_path))
    assert item.artifact
    foreign = {**item.artifact.details["manifest"], "gpu": "Tesla T4", "tensorrt": "7.2.1.6"}
    for details, told in (
        ({"manifest": foreign}, "tensorrt '7.2.1.6' instead of '11.4.0', gpu 'Tesla T4' instead of"),
        ({}, "is no plan with a manifest"),
    ):
        other = item.model_copy(update={"artifact": item.artifact.model_copy(update={"details": details})})
        with pytest.raises(InvalidInput, match=told):
            run_operation(BENCHMARK, {}, inputs(model=other), context_for(BENCHMARK, tmp_path, devices=("cuda:0",)))


def test_a_plan_that_computes_something_else_fails(
    model: InputItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        running.PlanRunner, "__call__", lambda self, batch: [np.eye(10, dtype=np.float32)[: len(batch)]]
    )
    with pytest.raises(ParityFailed, match="does not compute what its source computes"):
        built(model, tmp_path, parity_samples=8)


def test_what_tensorrt_cannot_read_or_build_is_told(tmp_path: Path, model: InputItem) -> None:
    with pytest.raises(OperationError, match="could not build the plan: insufficient memory Give more workspace_gib"):
        built(model, tmp_path, workspace_gib=1e-6)
    graph = onnx.load(str(model.main_file))
    graph.graph.node.insert(0, helper.make_node("Erf", ["image"], ["erf"]))
    onnx.save(graph, str(tmp_path / "erf.onnx"))
    with pytest.raises(InvalidInput, match=r"cannot read 'erf\.onnx': no importer for Erf"):
        built(onnx_item(tmp_path / "erf.onnx"), tmp_path / "erf")


def test_batches_have_to_ascend(model: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must ascend, but are 1, 64, 32"):
        built(model, tmp_path, opt_batch=64)


def test_without_a_gpu_the_reason_is_told(model: InputItem, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="TensorRT needs an NVIDIA GPU, and this attempt has 'cpu'"):
        run_operation(BUILD, {}, inputs(model=model), context_for(BUILD, tmp_path))
    with pytest.raises(OperationError, match="CUDA answered 101"):
        running.PlanRunner(b"", "cuda:3")


def test_the_operations_say_what_they_need_and_wait_on_the_queue_of_gpus() -> None:
    for name in ("tensorrt.build", "tensorrt.evaluate", "tensorrt.benchmark"):
        assert find_operation(name).manifest.queue == "tensorrt.gpu"
    (edge,) = find_operation("tensorrt.build").edges
    assert (edge.source, edge.target, edge.precision) == ("onnx", "tensorrt-plan", None)
    assert [(need.kind, need.name) for need in edge.requires] == [("gpu", ""), ("package", "tensorrt")]


def test_the_precision_is_what_the_file_says(model: InputItem) -> None:
    graph = onnx.load(str(model.main_file))
    assert precision_of(graph) == "fp32"
    half = onnx.ModelProto.FromString(graph.SerializeToString())
    for tensor in half.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    assert precision_of(half) == "fp16"
    graph.graph.node.append(helper.make_node("QuantizeLinear", ["image", "s"], ["q"]))
    assert precision_of(graph) == "int8"
    graph.graph.node.append(helper.make_node("ConvInteger", ["q", "w"], ["r"]))
    with pytest.raises(InvalidInput, match="quantised by operators such as ConvInteger"):
        precision_of(graph)
