"""The configuration of a Keras model: its layers, inputs and outputs, and what in it could run code when it is loaded.

Keras builds a model by importing the classes and functions that its configuration names, so names are judged here.
"""

import re
from collections.abc import Iterator
from typing import Any

from zoo_inspection.bounded_json import text
from zoo_inspection.findings import Report
from zoo_inspection.limits import Budget
from zoo_inspection.pickles.names import DANGEROUS_MODULES
from zoo_inspection.tables import Table, port

MAX_LAYERS = 20_000
DANGEROUS_CLASSES = {
    "Lambda": "holds Python code (a marshalled function)",
    "__lambda__": "holds Python code (a marshalled function)",
    "TorchModuleWrapper": "holds a pickled torch module",
    "TFSMLayer": "loads a SavedModel from a path",
    "DistillLossLayer": "loads a teacher from a path",
}
SUSPICIOUS_CLASSES = {
    "TFOpLambda": "calls any function of TensorFlow that its configuration names",
    "SlicingOpLambda": "calls any function of TensorFlow that its configuration names",
    "TensorFlowOpLayer": "holds a node of TensorFlow's graph",
    "JaxLayer": "holds a function", "FlaxLayer": "holds a function",
}  # fmt: skip
CONTAINER_CLASSES = frozenset({"Sequential", "Functional", "Model"})
_LAYERS = """
InputLayer Dense Activation Embedding Masking EinsumDense Identity Conv1D Conv2D Conv3D Convolution2D
Conv1DTranspose Conv2DTranspose Conv3DTranspose Deconvolution2D SeparableConv1D SeparableConv2D
DepthwiseConv1D DepthwiseConv2D MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D
AveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalAveragePooling1D
GlobalAveragePooling2D GlobalAveragePooling3D AdaptiveAveragePooling2D AdaptiveMaxPooling2D BatchNormalization
BatchNormalizationV1 BatchNormalizationV2 LayerNormalization GroupNormalization UnitNormalization
RMSNormalization SpectralNormalization Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D
GaussianDropout AlphaDropout GaussianNoise ActivityRegularization Reshape Flatten RepeatVector Permute
Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
ZeroPadding3D Concatenate Average Maximum Minimum Add Subtract Multiply Dot Merge ReLU Softmax LeakyReLU PReLU
ELU ThresholdedReLU LSTM GRU SimpleRNN LSTMCell GRUCell SimpleRNNCell StackedRNNCells RNN Bidirectional
TimeDistributed ConvLSTM1D ConvLSTM2D ConvLSTM3D MultiHeadAttention GroupQueryAttention Attention
AdditiveAttention Rescaling Resizing CenterCrop Normalization CategoryEncoding Discretization Hashing
HashedCrossing StringLookup IntegerLookup TextVectorization RandomCrop RandomFlip RandomTranslation
RandomRotation RandomZoom RandomContrast RandomBrightness RandomHeight RandomWidth CuDNNLSTM CuDNNGRU
LocallyConnected1D LocallyConnected2D Highway MaxoutDense
"""
KNOWN_CLASSES = CONTAINER_CLASSES | frozenset(_LAYERS.split())
"""Layers of Keras 1 to 3.  Anything else is somebody's own class."""
KERAS_MODULE = re.compile(r"(keras|tf_keras|tensorflow\.(python\.)?keras)(\..*)?")
DANGEROUS_KERAS = re.compile(
    r"(keras|tf_keras|tensorflow\.(python\.)?keras)(\.src)?\.(utils|saving|models|config|trainers)(\..*)?"
)
DANGEROUS_FUNCTIONS = frozenset({"get_file", "load_model", "deserialize", "deserialize_keras_object", "eval", "exec"})
OUTSIDE = re.compile(r"^(/|\\|~|[A-Za-z]:[\\/]|[a-z][a-z0-9+.-]*://)|(^|[/\\])\.\.([/\\]|$)")
PATH_KEYS = frozenset({"vocabulary", "teacher_path", "filepath", "path", "file_path", "model_path", "vocabulary_file"})


def inspect_config(config: Any, budget: Budget, report: Report) -> None:
    """Fill in ``layers``, ``inputs`` and ``outputs``, and report on every class that the configuration names."""
    layers = Table(("name", "type"), budget.limits.rows)
    for kind, name in _layers(config, budget):
        layers.add(name, kind)
    _judge(config, budget, report)
    report.facts["layers"] = layers.told()
    report.facts |= _ports(config)
    model = config.get("class_name") if isinstance(config, dict) else None
    if isinstance(model, str):
        report.facts["class"] = model[:100]


def _layers(config: Any, budget: Budget) -> Iterator[tuple[str, str]]:
    """Class and name of every layer, those of models within models included."""
    waiting, told = [config], 0
    while waiting and told < MAX_LAYERS:
        budget.step()
        entry = waiting.pop()
        if not isinstance(entry, dict):
            continue
        inner = entry.get("config")
        listed = inner.get("layers") if isinstance(inner, dict) else inner
        if isinstance(listed, list):
            waiting += reversed(listed)
        elif isinstance(inner, dict) and isinstance(inner.get("layer"), dict):
            waiting.append(inner["layer"])
        if isinstance(entry.get("class_name"), str) and not isinstance(listed, list):
            told += 1
            name = inner.get("name") if isinstance(inner, dict) else None
            yield entry["class_name"][:100], text(entry.get("name") or name)


def _judge(config: Any, budget: Budget, report: Report) -> None:
    """Walk the whole configuration: objects are named in layers, activations, initialisers and anywhere else."""
    waiting: list[tuple[Any, bool]] = [(config, True)]
    while waiting:
        budget.step()
        value, is_layer = waiting.pop()
        if isinstance(value, list):
            waiting += [(item, is_layer) for item in value]
        elif isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                _judge_object(value, report, is_layer=is_layer)
            _judge_paths(value, report)
            for key, inner in value.items():
                listed = is_layer and key == "config" and isinstance(inner, list)
                waiting.append((inner, listed or key in {"layers", "layer"}))


def _judge_object(value: dict[str, Any], report: Report, *, is_layer: bool) -> None:
    kind, module = value["class_name"][:100], text(value.get("module"))
    registered = text(value.get("registered_name"))
    simple = kind.rpartition(">")[2]
    named = value.get("config")
    if simple in DANGEROUS_CLASSES:
        report.dangerous(f"The model holds {kind!r}, which {DANGEROUS_CLASSES[simple]}.")
    elif simple in SUSPICIOUS_CLASSES:
        report.suspicious(f"The model holds {kind!r}, which {SUSPICIOUS_CLASSES[simple]}.")
    elif module and not KERAS_MODULE.fullmatch(module):
        _judge_foreign(kind, module, registered, report)
    elif module and DANGEROUS_KERAS.fullmatch(module) and kind == "function":
        report.dangerous(f"Loading the model would call {text(named)!r} of {module!r}.")
    elif is_layer and ">" in kind:
        report.suspicious(f"The model needs the custom class {kind!r}.")
    elif is_layer and simple not in KNOWN_CLASSES and not (module and KERAS_MODULE.fullmatch(module)):
        report.suspicious(f"The model needs the class {kind!r}, which is none of Keras' layers.")
    if kind == "function" and isinstance(named, str) and named in DANGEROUS_FUNCTIONS:
        report.dangerous(f"Loading the model would look up the function {named!r}.")


def _judge_foreign(kind: str, module: str, registered: str, report: Report) -> None:
    """An object of a module that is not Keras', which itself writes ``builtins`` for functions and dictionaries."""
    if module == "builtins" and kind in {"function", "dict"} and not registered:
        return
    if DANGEROUS_MODULES.fullmatch(module) and module != "builtins":
        report.dangerous(f"Loading the model would import {kind!r} from {module!r}.")
    elif module == "builtins" and kind not in {"function", "dict", "slice", "list", "tuple", "set", "ellipsis"}:
        report.dangerous(f"Loading the model would call {kind!r} of {module!r}.")
    elif module != "builtins":
        report.suspicious(f"The model needs the class {kind!r} of {module!r}, which is not Keras'.")


def _judge_paths(value: dict[str, Any], report: Report) -> None:
    for key in PATH_KEYS & value.keys():
        path = value[key]
        if isinstance(path, str) and OUTSIDE.search(path[:1000]):
            report.dangerous(f"Loading the model would read {path[:200]!r} ({key}).")
        elif isinstance(path, str) and key == "teacher_path":
            report.suspicious(f"Loading the model would read {path[:200]!r} ({key}).")


def _ports(config: Any) -> dict[str, Any]:
    """Inputs with their shapes; outputs by name (their shapes are not written down)."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(layers, list):
        return {}
    by_name: dict[str, dict[str, Any]] = {}
    order: list[str] = []
    for layer in layers[:MAX_LAYERS]:
        settings = layer.get("config") if isinstance(layer, dict) else None
        if isinstance(settings, dict):
            name = text(layer.get("name") or settings.get("name"))
            by_name[name] = settings
            order.append(name)
    if not order:
        return {}
    graph = inner if isinstance(inner, dict) else {}
    inputs = _ends(graph.get("input_layers")) or [order[0]]
    outputs = _ends(graph.get("output_layers")) or [order[-1]]
    return {
        "inputs": [_input(name, by_name.get(name, {})) for name in inputs],
        "outputs": [port(name, text(_dtype(by_name.get(name, {}))), None) for name in outputs],
    }


def _ends(value: Any) -> list[str]:
    """``[["input_1", 0, 0], ...]``, ``["input_1", 0, 0]`` or (Keras 3) nested lists of them."""
    if not isinstance(value, list):
        return []
    if value and isinstance(value[0], str):
        return [value[0][:200]]
    return [item[0][:200] for item in value[:64] if isinstance(item, list) and item and isinstance(item[0], str)]


def _dtype(settings: dict[str, Any]) -> Any:
    kind = settings.get("dtype")
    if isinstance(kind, dict):
        policy = kind.get("config")
        kind = policy.get("name") if isinstance(policy, dict) else None
    return kind


def _input(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    shape = settings.get("batch_shape", settings.get("batch_input_shape"))
    if not isinstance(shape, list):
        return port(name, text(_dtype(settings)), None)
    lengths = [length if type(length) is int else None for length in shape]
    layout = "NHWC" if len(lengths) == 4 and settings.get("data_format") != "channels_first" else ""
    return port(name, text(_dtype(settings)) or "float32", lengths, layout)
