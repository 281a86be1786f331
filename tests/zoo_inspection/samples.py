"""Small files of every format, made by the libraries that own the formats or byte by byte."""

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import flatbuffers
import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ENTITY_BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<net name="&c;" version="11"><layers/></net>"""


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while True:
        found.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(found)


def field(number: int, value: bytes | int | str) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def zip_of(members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def safetensors(tensors: dict[str, tuple[str, list[int], int]], metadata: dict[str, str] | None = None) -> bytes:
    """Name -> dtype, shape, bytes; the body is zeros."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(position)


def onnx_model(**changes: Any) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "conv.weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "conv.weight"], ["y"], name="conv")],
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [weight],
    )
    settings = {"opset_imports": [helper.make_opsetid("", 18)], "producer_name": "zoo", "producer_version": "1"}
    return helper.make_model(graph, **(settings | changes))


def onnx_bytes(**changes: Any) -> bytes:
    return bytes(onnx_model(**changes).SerializeToString())


def onnx_with_external(location: str) -> bytes:
    model = onnx_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "64", "length": "432"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return bytes(model.SerializeToString())


def openvino_xml(*, extra: str = "", version: str = "11", size: int = 432) -> bytes:
    return f"""<?xml version="1.0"?>
<net name="small" version="{version}"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?,3,8,8" element_type="f32"/>
<output><port id="0" precision="FP32" names="x"><dim>-1</dim><dim>3</dim></port></output></layer>
<layer id="1" name="w" type="Const" version="opset1">
<data element_type="f32" shape="4,3,3,3" offset="0" size="{size}"/></layer>
{extra}
<layer id="3" name="y/sink_port_0" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>-1</dim><dim>4</dim></port></input></layer>
</layers><rt_info><Runtime_version value="2026.4"/></rt_info></net>""".encode()


KERAS_LAYERS: list[dict[str, Any]] = [
    {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 8, 8, 3], "dtype": "float32"}},
    {"class_name": "Conv2D", "config": {"name": "conv", "filters": 4, "dtype": "float32"}},
    {"class_name": "Dense", "config": {"name": "fc", "units": 10, "dtype": "float32"}},
]


def keras_config(*extra: dict[str, Any]) -> dict[str, Any]:
    layers = [{**layer, "name": layer["config"]["name"]} for layer in (*KERAS_LAYERS, *extra)]
    settings = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["fc", 0, 0]]}
    return {"class_name": "Functional", "config": settings}


def keras_h5(
    path: Path, *, config: dict[str, Any] | None = None, libver: str = "earliest", weights_only: bool = False
) -> Path:
    """A file as Keras 2 lays it out: attributes with the configuration, a group for each layer."""
    with h5py.File(path, "w", libver=libver) as file:
        top = file if weights_only else file.create_group("model_weights")
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["backend"] = np.bytes_("tensorflow")
        if not weights_only:
            file.attrs["model_config"] = json.dumps(config or keras_config())
        top.attrs["layer_names"] = [b"conv", b"fc"]
        for name, shape in (("conv", (3, 3, 3, 4)), ("fc", (144, 10))):
            group = top.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group.create_dataset(f"{name}/kernel:0", data=np.ones(shape, np.float32))
            group.create_dataset(f"{name}/bias:0", data=np.ones(shape[-1], np.float32))
    return path


def keras_archive(folder: Path, config: dict[str, Any] | None = None) -> bytes:
    path = folder / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers/conv/vars").create_dataset("0", data=np.ones((3, 3, 3, 4), np.float16))
    return zip_of(
        {
            "metadata.json": json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-24"}).encode(),
            "config.json": json.dumps(config or keras_config()).encode(),
            "model.weights.h5": path.read_bytes(),
        }
    )


def saved_model(*operators: str) -> bytes:
    shape = field(2, field(1, 2**64 - 1)) + field(2, field(1, 3))
    tensor = field(1, "serving_x:0") + field(2, 1) + field(3, shape)
    signature = field(1, field(1, "x") + field(2, tensor)) + field(2, field(1, "y") + field(2, tensor))
    nodes = b"".join(field(1, field(1, f"n{index}") + field(2, name)) for index, name in enumerate(operators))
    function = field(1, field(1, field(1, "f")) + field(3, field(1, "inner") + field(2, "Relu")))
    info = field(1, "v1") + field(4, "serve") + field(5, "2.21.0")
    graph = field(1, info) + field(2, nodes + field(2, function))
    return field(1, 1) + field(2, graph + field(5, field(1, "serving_default") + field(2, signature)))


def tflite(*, custom: str = "") -> bytes:
    """One operator on a (1, 8) input with a weight of (4, 8) int8."""
    build = flatbuffers.Builder(0)
    name = {key: build.CreateString(key) for key in ("x", "w", "y", "made here")}
    custom_name = build.CreateString(custom) if custom else None
    data = build.CreateByteVector(bytes(32))
    buffers = [_table(build, 3, {}), _table(build, 3, {0: ("offset", data)})]
    shapes = {"x": [1, 8], "w": [4, 8], "y": [1, 4]}
    tensors = []
    for key, kind, buffer in (("x", 0, 0), ("w", 9, 1), ("y", 0, 0)):
        shape = _numbers(build, shapes[key])
        values: dict[int, tuple[str, int]] = {0: ("offset", shape), 1: ("byte", kind), 2: ("uint", buffer)}
        tensors.append(_table(build, 8, values | {3: ("offset", name[key])}))
    ends = [_numbers(build, [0]), _numbers(build, [2])]
    operator = _table(build, 3, {0: ("uint", 0)})
    lists = [_offsets(build, tensors), _offsets(build, [operator])]
    graph = _table(
        build, 5, {0: ("offset", lists[0]), 1: ("offset", ends[0]), 2: ("offset", ends[1]), 3: ("offset", lists[1])}
    )
    code = {0: ("byte", 32), 3: ("int", 32)} if custom else {0: ("byte", 9), 3: ("int", 9)}
    code |= {1: ("offset", custom_name)} if custom_name else {}
    codes, graphs, all_buffers = (_offsets(build, items) for items in ([_table(build, 4, code)], [graph], buffers))
    model = _table(
        build, 8,
        {0: ("uint", 3), 1: ("offset", codes), 2: ("offset", graphs), 3: ("offset", name["made here"]),
         4: ("offset", all_buffers)},
    )  # fmt: skip
    build.Finish(model, file_identifier=b"TFL3")
    return bytes(build.Output())


def _table(build: flatbuffers.Builder, fields: int, values: dict[int, tuple[str, int]]) -> int:
    build.StartObject(fields)
    for index, (kind, value) in values.items():
        add = {
            "offset": build.PrependUOffsetTRelativeSlot, "byte": build.PrependInt8Slot, "int": build.PrependInt32Slot,
            "uint": build.PrependUint32Slot,
        }[kind]  # fmt: skip
        add(index, value, 0)
    return int(build.EndObject())


def _numbers(build: flatbuffers.Builder, values: list[int]) -> int:
    build.StartVector(4, len(values), 4)
    for value in reversed(values):
        build.PrependInt32(value)
    return int(build.EndVector())


def _offsets(build: flatbuffers.Builder, values: list[int]) -> int:
    build.StartVector(4, len(values), 4)
    for value in reversed(values):
        build.PrependUOffsetTRelative(value)
    return int(build.EndVector())


META = b"shape {\n  dim: 2\n  dim: 3\n}\ndata_type: kFloat\n"


class _Tensor:
    """Pickles as OneFlow's Tensor did: a class of its module and a state with the folder's name."""

    def __init__(self, path: str) -> None:
        self.path = path


_Tensor.__module__, _Tensor.__qualname__, _Tensor.__name__ = "oneflow", "Tensor", "Tensor"


def oneflow_pickle(path: str = "tensor_0") -> bytes:
    import sys
    from types import ModuleType

    module = ModuleType("oneflow")
    module.Tensor = _Tensor  # type: ignore[attr-defined]
    sys.modules["oneflow"] = module
    try:
        value = {"protocol_version": 1, "data": OrderedDict({"fc.weight": _Tensor(path)})}
        return pickle.dumps(value, protocol=4)
    finally:
        del sys.modules["oneflow"]


def oneflow_zip(layout: str, *, path: str = "tensor_0") -> bytes:
    if layout == "A":
        return zip_of({"m/fc.weight/meta": META, "m/fc.weight/out": bytes(24), "m/snapshot_done": b""})
    if layout == "B":
        return zip_of({"m/pickled_data": oneflow_pickle(path), "m/tensor_0/meta": META, "m/tensor_0/out": bytes(24)})
    return zip_of({"model.mlir": b"module {}", "m.fc.weight/meta": META, "m.fc.weight/out": bytes(24)})


def oneflow_single() -> bytes:
    tensor = {"data": np.ones((2, 3), np.float32), "dtype": "float32", "device": "cpu"}
    return pickle.dumps({"protocol_version": 1, "__oneflow__": None, "data": {"fc.weight": tensor}}, protocol=4)


CFG = b"""# small
[net]
width=16
height=16
channels=3

[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[route]
layers=-1,-2

[yolo]
classes=1
"""


def darknet_weights(count: int = 124) -> bytes:
    return struct.pack("<iiiq", 0, 2, 0, 1000) + np.linspace(-1, 1, count, dtype="<f4").tobytes()


def plan(body: bytes = b"") -> bytes:
    return b"ftrt" + struct.pack("<II", 0x3A, 0) + bytes(64) + body


def elf(machine: int) -> bytes:
    return b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + struct.pack("<HH", 3, machine) + bytes(40)
