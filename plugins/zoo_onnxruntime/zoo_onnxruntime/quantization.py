"""``onnxruntime.quantize``: static post-training quantization to INT8 (QDQ), checked against the float model."""

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import ModelProto
from onnxruntime.quantization import QDQQuantizer, QuantType, TensorsData
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from zoo_onnxruntime.calibration import measure_ranges
from zoo_onnxruntime.comparison import Source, compare, declare, open_fitting_split, open_source
from zoo_onnxruntime.complexity import count_int8_operations
from zoo_onnxruntime.graphs import FILE, check_is_float, opset_of, with_names, write_graph
from zoo_onnxruntime.opsets import converted_to
from zoo_onnxruntime.optimisation import optimised
from zoo_onnxruntime.specs import QuantizeParams
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError, UnknownName
from zoo_sdk.vocabulary import Precision

DEFAULT_PARITY_SPLIT = "test"
SMALLEST_OPSET = 13
"""The first whose QuantizeLinear knows channels."""
SHAPES_ARE_INFERRED = {"onnx.infer": "onnxruntime.quant"}
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}


def run(params: QuantizeParams, inputs: Inputs, context: OperationContext) -> None:
    """Quantize, save, and keep the result only if it agrees with the float model often enough."""
    data = inputs.one("data")
    parity_split = params.parity_split or _default_parity_split(params, data)
    source = open_source(inputs, context, split=parity_split, samples=params.parity_samples)
    check_is_float(source.graph, source.item.reference)
    calibration = open_fitting_split(source.classifier, source.item.reference, data, params.split)
    excluded = _checked_names(source.graph, params, source.item.reference)
    prepared = _prepared(source, context)
    nodes = _nodes_in(prepared, source, excluded)
    types = _types(params)
    ranges = measure_ranges(prepared, source.classifier, calibration, params, types, context)
    model = _quantised(prepared, ranges, params, types, nodes)
    path = context.output() / FILE
    write_graph(model, path)
    operations = _checked_operations(model, source.item.reference)
    made, figures = compare(
        source, path, context, precision=Precision.INT8, max_abs=None, min_agreement=params.min_agreement
    )
    declare(source, made, figures, context, _description(model, params, operations, nodes))
    context.log(
        f"{operations['int8_operations']} of {operations['operations']} operations are INT8; "
        f"same top class in {figures.agreement_top1:.2f} % of samples."
    )


def _default_parity_split(params: QuantizeParams, data: InputItem) -> str:
    has_test = data.dataset is not None and DEFAULT_PARITY_SPLIT in data.dataset.splits
    return DEFAULT_PARITY_SPLIT if has_test else params.split


def _checked_names(graph: ModelProto, params: QuantizeParams, reference: str) -> dict[str, list[str]]:
    """The outputs of each excluded node by name; raises :class:`UnknownName` for names and types that do not occur."""
    outputs = {node.name: list(node.output) for node in with_names(graph).graph.node}
    kinds = {node.op_type for node in graph.graph.node}
    for kind in params.excluded_types:
        if kind not in kinds:
            raise UnknownName(f"operation type of {reference}", kind, kinds)
    for name in params.excluded_names:
        if name not in outputs:
            raise UnknownName(f"node of {reference}", name, outputs)
    return {name: outputs[name] for name in params.excluded_names}


def _prepared(source: Source, context: OperationContext) -> ModelProto:
    """The source with batch normalisations folded, shapes inferred, and an operator set that knows channels."""
    graph = source.graph
    if opset_of(graph) < SMALLEST_OPSET:
        graph = converted_to(graph, SMALLEST_OPSET, source.item.reference)
    graph = optimised(graph, "basic", context)
    try:
        return onnx.shape_inference.infer_shapes(with_names(graph), data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise OperationError(f"The shapes inside {source.item.reference} cannot be inferred: {error}") from error


def _nodes_in(prepared: ModelProto, source: Source, excluded: dict[str, list[str]]) -> list[str]:
    """The excluded nodes as they are called in the prepared graph: by name, or as what makes the same output.

    Raises:
        InvalidInput: the preparation merged the node into another.

    """
    names = {node.name for node in prepared.graph.node}
    makers = {output: node.name for node in prepared.graph.node for output in node.output}
    found = set()
    for name, outputs in excluded.items():
        same = {name} & names | {makers[output] for output in outputs if output in makers}
        if not same:
            raise InvalidInput(
                f"The node {name!r} of {source.item.reference} is merged into another one before it is quantized.",
                hint="Exclude the node that comes after it, such as the convolution before a batch normalisation.",
                facts={"field": "excluded_names"},
            )
        found |= same
    return sorted(found)


def _types(params: QuantizeParams) -> list[str]:
    """The types of operations to quantize: all that ONNX Runtime can, but the excluded ones."""
    return sorted({*QLinearOpsRegistry, *QDQRegistry} - set(params.excluded_types))


def _quantised(
    model: ModelProto, ranges: TensorsData, params: QuantizeParams, types: list[str], excluded: Iterable[str]
) -> ModelProto:
    before = {item.key: item.value for item in model.metadata_props}
    # With this mark the quantizer takes the shapes as they are; without it, it writes the whole model out and in again.
    _set_properties(model, {**before, **SHAPES_ARE_INFERRED})
    quantizer = QDQQuantizer(
        model,
        params.per_channel,
        params.reduce_range,
        TYPES[params.weight_type],
        TYPES[params.activation_type],
        ranges,
        [],
        list(excluded),
        types,
        {"ActivationSymmetric": params.activations == "symmetric", "WeightSymmetric": params.weight_type == "int8"},
    )
    quantizer.quantize_model()
    made: ModelProto = quantizer.model.model
    _set_properties(made, before)
    return made


def _set_properties(model: ModelProto, properties: Mapping[str, str]) -> None:
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(properties))


def _checked_operations(model: ModelProto, reference: str) -> dict[str, int]:
    """How many weighted operations there are, and how many became INT8.

    Raises:
        OperationError: none did, so the model would be called INT8 without being it.

    """
    int8, weighted = count_int8_operations(model)
    if not int8:
        raise OperationError(
            f"ONNX Runtime quantized none of the {weighted} weighted operations of {reference}.",
            hint="Check excluded_names and excluded_types.",
        )
    return {"int8_operations": int8, "operations": weighted}


def _description(
    model: ModelProto, params: QuantizeParams, operations: dict[str, int], excluded: list[str]
) -> ArtifactDescription:
    chosen = ("calibration", "samples", "per_channel", "activations", "activation_type", "weight_type", "reduce_range")
    scheme: dict[str, Any] = {name: getattr(params, name) for name in chosen}
    return ArtifactDescription(
        format="onnx",
        files=(FILE,),
        precision=Precision.INT8,
        details={
            **operations,
            "opset": opset_of(model),
            "quantization": {**scheme, "excluded_nodes": excluded, "excluded_types": list(params.excluded_types)},
        },
    )
