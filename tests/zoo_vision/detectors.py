"""ONNX models whose outputs are maps, as those of detectors are."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.zoo_vision.samples import onnx_item
from zoo_sdk.context import InputItem


def write_detector(path: Path, *, batch: int | str = "batch", heads: int = 2, wrong: float = 1.0) -> InputItem:
    """A convolution, and heads that are maps behind it; ``wrong`` is a factor of the last head's weights."""
    random = np.random.default_rng(0)
    weights = {"stem_weight": random.normal(0, 1 / 3, (4, 1, 3, 3))}
    weights |= {f"weight_{number}": random.normal(0, 1 / 2, (5 + number, 4, 1, 1)) for number in range(heads)}
    weights[f"weight_{heads - 1}"] *= wrong
    nodes = [
        helper.make_node("Conv", ["image", "stem_weight"], ["stem"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["stem"], ["body"]),
    ]
    ends = []
    for number in range(heads):
        nodes.append(helper.make_node("Conv", ["body", f"weight_{number}"], [f"head_{number}"]))
        ends.append(helper.make_tensor_value_info(f"head_{number}", TensorProto.FLOAT, [batch, 5 + number, 8, 8]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 8, 8])
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "detector", [image], ends, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return onnx_item(path)
