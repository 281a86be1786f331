"""Quantization by NNCF and by ONNX Runtime as their own documentation does it, without anything of ours."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Inputs = NDArray[np.float32]


def with_nncf(onnx_file: Path, inputs: Inputs, folder: Path) -> Path:
    """INT8 as an IR; ``inputs`` (N, C, H, W) are the calibration samples."""
    import nncf
    import openvino as ov

    dataset = nncf.Dataset(list(range(len(inputs))), lambda index: inputs[index : index + 1])
    model = nncf.quantize(
        ov.convert_model(onnx_file), dataset, subset_size=len(inputs), fast_bias_correction=False,
        preset=nncf.QuantizationPreset.PERFORMANCE,
    )  # fmt: skip
    folder.mkdir(parents=True)
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def with_onnxruntime(onnx_file: Path, inputs: Inputs, folder: Path) -> Path:
    """INT8 as ONNX with QDQ nodes: per channel, seven bits for weights as its documentation says without VNNI."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self._samples: Iterator[dict[str, Inputs]] = iter(
                {name: inputs[index : index + 1]} for index in range(len(inputs))
            )

        def get_next(self) -> dict[str, Inputs] | None:
            return next(self._samples, None)

    folder.mkdir(parents=True)
    prepared, made = folder / "prepared.onnx", folder / "model.onnx"
    with redirect_stdout(io.StringIO()):
        quant_pre_process(str(onnx_file), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(made), Reader(_input_name(onnx_file)), per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    return made


def _input_name(onnx_file: Path) -> str:
    import onnx

    name: str = onnx.load(str(onnx_file)).graph.input[0].name
    return name
