"""Counts the multiply-accumulates of a Keras network in the ONNX graph that it becomes, without running it."""

import onnx

from zoo_keras.graphs.emitting import emit
from zoo_keras.loading import Loaded
from zoo_sdk.errors import InvalidInput
from zoo_vision import onnx_costs


def count_macs(loaded: Loaded) -> int | None:
    """Of all convolutions and matrix products for one sample.

    None if a size depends on the input, or for a network with a layer that has no form in ONNX here.
    """
    try:
        graph = onnx_costs.for_one_sample(emit(loaded.network, loaded.model))
        return onnx_costs.count_macs(onnx.shape_inference.infer_shapes(_without_values(graph), data_prop=True))
    except InvalidInput:
        return None


def _without_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the shapes of its weights only: protobuf would not serialise more than 2 GiB of values."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.ClearField("raw_data")
    return model
