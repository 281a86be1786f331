"""Small files of the kinds that other zoos serve."""

import io
import json
import struct
from typing import Any

import h5py


def safetensors(size: int, seed: int = 0) -> bytes:
    """A valid file with ``size`` bytes of data."""
    data = bytes((index * 7 + seed) % 251 for index in range(size))
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def keras_weights() -> bytes:
    """Weights as Keras 2 wrote them."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.3.0"
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0"]
        group.create_dataset("dense/kernel:0", data=[[1.0, 2.0]])
    return stream.getvalue()


IR = b'<?xml version="1.0"?><net name="n" version="10"><layers></layers><edges></edges></net>'


class Dangerous:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("true",)
