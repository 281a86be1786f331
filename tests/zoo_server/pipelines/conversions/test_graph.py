"""The planner: the cheapest available path, always the same, and why there is no other."""

from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import pytest

from zoo_sdk.conversions import ConversionEdge
from zoo_sdk.vocabulary import Precision
from zoo_server.pipelines.conversions.graph import ConversionPath, OfferedEdge, Start, Wanted, plan_path

TORCH = Start("safetensors", Precision.FP32, "model.safetensors")
FP16, INT8 = Precision.FP16, Precision.INT8


def edge(operation: str, source: str, target: str, *reasons: str, number: int = 0, **fields: Any) -> OfferedEdge:
    return OfferedEdge(
        operation, number, ConversionEdge(source=source, target=target, **fields), fields.get("params", {}), reasons
    )


EDGES = (
    edge("torch.export_onnx", "safetensors", "onnx", takes=(Precision.FP32,)),
    edge("openvino.convert", "onnx", "openvino-ir", takes=(Precision.FP32,), precision=Precision.FP32),
    edge("openvino.convert", "onnx", "openvino-ir", number=1, takes=(Precision.FP32,), precision=FP16),
    edge("openvino.quantize", "onnx", "openvino-ir", cost=50, precision=INT8),
    edge("openvino.quantize", "openvino-ir", "openvino-ir", number=1, cost=50, precision=INT8),
    edge("onnxruntime.convert", "onnx", "onnx", takes=(Precision.FP32,), number=0),
    edge("onnxruntime.convert", "onnx", "onnx", takes=(Precision.FP32,), precision=FP16, number=1),
)


def names(path: ConversionPath) -> list[str]:
    return [step.offered.operation for step in path.steps]


def test_the_cheapest_path_is_taken() -> None:
    dear = edge("direct.convert", "safetensors", "openvino-ir", cost=25)
    assert names(plan_path([TORCH], [*EDGES, dear], Wanted("openvino-ir"))) == ["torch.export_onnx", "openvino.convert"]
    cheap = edge("direct.convert", "safetensors", "openvino-ir", cost=19)
    path = plan_path([TORCH], [*EDGES, cheap], Wanted("openvino-ir"))
    assert names(path) == ["direct.convert"]
    assert path.cost == 19


def test_of_equal_paths_the_shorter_and_then_the_first_by_name_is_taken() -> None:
    short = edge("z.direct", "safetensors", "openvino-ir", cost=20)
    assert names(plan_path([TORCH], [*EDGES, short], Wanted("openvino-ir"))) == ["z.direct"]
    twins = [edge("b.export", "safetensors", "tflite"), edge("a.export", "safetensors", "tflite")]
    assert names(plan_path([TORCH], twins, Wanted("tflite"))) == ["a.export"]


def test_the_order_of_the_edges_changes_nothing() -> None:
    expected = plan_path([TORCH], EDGES, Wanted("openvino-ir", INT8))
    for order in list(permutations(EDGES))[::97]:
        assert plan_path([TORCH], order, Wanted("openvino-ir", INT8)) == expected


def test_the_precision_of_the_source_is_kept_unless_another_is_wanted() -> None:
    for wanted, number in ((None, 0), (Precision.FP32, 0), (FP16, 1)):
        path = plan_path([TORCH], EDGES, Wanted("openvino-ir", wanted))
        assert path.steps[-1].offered.number == number
        assert path.steps[-1].target == ("openvino-ir", wanted or Precision.FP32)


def test_nothing_is_lost_on_the_way() -> None:
    """The only way to fp32 IR leads through fp16 here, and is not taken."""
    edges = [
        edge("a.halve", "safetensors", "onnx", precision=FP16),
        edge("b.widen", "onnx", "openvino-ir", precision=Precision.FP32),
    ]
    path = plan_path([TORCH], edges, Wanted("openvino-ir"))
    assert path.start is None
    assert "No way leads from safetensors (fp32) to openvino-ir" in path.problem


def test_an_edge_that_does_not_take_the_precision_is_not_used() -> None:
    half = Start("onnx", FP16, "model.onnx")
    path = plan_path([half], EDGES[:3], Wanted("openvino-ir"))
    assert path.start is None


def test_an_unavailable_edge_is_gone_round_and_told_with_its_reason() -> None:
    closed = edge("torch.export_onnx", "safetensors", "onnx", "its worker is away")
    other = edge("keras.export", "safetensors", "onnx", cost=40)
    elsewhere = edge("keras.save", "keras", "keras-h5", "no worker")
    path = plan_path([TORCH], [closed, other, elsewhere, *EDGES[1:]], Wanted("openvino-ir"))
    assert names(path) == ["keras.export", "openvino.convert"]
    assert [(item.operation, item.reasons) for item in path.unavailable] == [
        ("torch.export_onnx", ("its worker is away",))
    ]


def test_an_edge_to_a_precision_that_is_not_wanted_is_not_told() -> None:
    closed = edge("openvino.quantize", "onnx", "openvino-ir", "needs a data set", precision=INT8)
    again = edge("onnxruntime.optimise", "onnx", "onnx", "its worker is away")
    assert plan_path([TORCH], [*EDGES[:3], closed, again], Wanted("openvino-ir", FP16)).unavailable == ()
    path = plan_path([TORCH], [*EDGES[:3], closed, again], Wanted("openvino-ir", INT8))
    assert [item.operation for item in path.unavailable] == ["openvino.quantize"]


def test_without_a_path_it_says_whether_edges_are_closed_or_missing() -> None:
    closed = [edge("torch.export_onnx", "safetensors", "onnx", "its worker is away"), *EDGES[1:]]
    path = plan_path([TORCH], closed, Wanted("openvino-ir"))
    assert path.start is None
    assert "not all of its edges can be taken" in path.problem
    assert "converts anything to tflite" in plan_path([TORCH], EDGES, Wanted("tflite")).problem
    problem = plan_path([TORCH], EDGES, Wanted("openvino-ir", Precision.BF16)).problem
    assert "openvino-ir can be made as fp16, fp32, int8" in problem


def test_an_operation_that_is_asked_for_is_on_the_way() -> None:
    through = frozenset({"onnxruntime.convert"})
    path = plan_path([TORCH], EDGES, Wanted("openvino-ir", through=through))
    assert names(path) == ["torch.export_onnx", "onnxruntime.convert", "openvino.convert"]
    onnx = Start("onnx", Precision.FP32, "model.onnx")
    assert names(plan_path([onnx], EDGES, Wanted("onnx", through=through))) == ["onnxruntime.convert"]


def test_of_several_artifacts_the_nearest_is_the_start() -> None:
    onnx = Start("onnx", Precision.FP32, "model.onnx")
    path = plan_path([TORCH, onnx], EDGES, Wanted("openvino-ir"))
    assert path.start == onnx
    assert names(path) == ["openvino.convert"]


def test_what_is_there_already_needs_no_step() -> None:
    path = plan_path([TORCH], EDGES, Wanted("safetensors"))
    assert (path.start, path.steps) == (TORCH, ())


def test_weights_of_unknown_precision_count_as_fp32() -> None:
    path = plan_path([Start("onnx", None, "model.onnx")], EDGES, Wanted("openvino-ir"))
    assert path.steps[0].source == ("onnx", Precision.FP32)


def asking(operation: str, source: str, target: str, *names: str, **fields: Any) -> OfferedEdge:
    return replace(edge(operation, source, target, **fields), open_questions=frozenset(names))


def test_an_edge_that_asks_is_taken_where_the_source_or_the_edge_before_tells_it() -> None:
    export = asking("torch.export", "safetensors", "onnx", "architecture")
    told = replace(TORCH, told=frozenset({"architecture", "classes"}))
    assert names(plan_path([told], [export], Wanted("onnx"))) == ["torch.export"]
    pickled = Start("pickle", Precision.FP32, "model.pth")
    silent = edge("torch.import", "pickle", "safetensors")
    assert plan_path([pickled], [silent, export], Wanted("onnx")).start is None
    telling = edge("torch.import", "pickle", "safetensors", number=1, cost=15, tells=("architecture",))
    path = plan_path([pickled], [silent, telling, export], Wanted("onnx"))
    assert [(step.offered.operation, step.offered.number) for step in path.steps] == [
        ("torch.import", 1),
        ("torch.export", 0),
    ]
    assert plan_path([pickled], [silent, telling, export], Wanted("safetensors")).cost == 10


def test_an_edge_whose_question_nobody_answers_is_told_with_the_option_to_give() -> None:
    export = asking("torch.export", "safetensors", "onnx", "architecture")
    path = plan_path([TORCH], [export], Wanted("onnx"))
    assert path.start is None
    assert "not all of its edges can be taken" in path.problem
    assert [item.reasons for item in path.unavailable] == [("needs the option torch.export.architecture",)]


@pytest.mark.parametrize("length", [8, 9])
def test_paths_have_a_length_that_is_bounded(length: int) -> None:
    formats = ["onnx", "keras", "keras-h5", "tflite", "savedmodel", "torchscript", "torch-export", "darknet", "oneflow"]
    chain = [edge(f"x.{n}", *ends) for n, ends in enumerate(pairwise(["safetensors", *formats]))]
    path = plan_path([TORCH], chain, Wanted(formats[length - 1]))
    assert (path.start is not None) == (length <= 8)
