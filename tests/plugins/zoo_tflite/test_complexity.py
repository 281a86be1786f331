"""Multiply-accumulates of TFLite files against counts made by hand, one operator each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from zoo_tflite.complexity import count_macs, count_parameters, read_tables
from zoo_tflite.graphs.file import BUILTIN, FileWriter


def turned(*, first: bool) -> Any:
    options = schema.BatchMatMulOptionsT()
    options.adjX = first
    return options


def written(
    folder: Path, code: int, given: tuple[int, ...], weight: tuple[int, ...], made: tuple[int, ...], options: Any = None
) -> Path:
    """A file with one operator between its input and its output."""
    writer = FileWriter(half=False)
    values, output = writer.tensor("in", given), writer.tensor("out", made)
    inputs = [values, writer.constant("weight", np.ones(weight, np.float32))]
    if code == BUILTIN.TRANSPOSE_CONV:
        inputs = [writer.constant("size", np.array(made, np.int32)), inputs[1], values]
    elif code == BUILTIN.FULLY_CONNECTED:
        inputs.append(-1)  # no bias
    writer.operator(code, inputs, [output], options)
    path = folder / "one.tflite"
    path.write_bytes(writer.content("one", [values], [output]))
    return path


@pytest.mark.parametrize(
    ("code", "given", "weight", "made", "options", "macs"),
    [
        (BUILTIN.CONV_2D, (1, 8, 8, 6), (4, 3, 3, 3), (1, 6, 6, 4), None, 36 * 4 * 27),
        (BUILTIN.DEPTHWISE_CONV_2D, (1, 8, 8, 4), (1, 3, 3, 4), (1, 6, 6, 4), None, 36 * 4 * 9),
        (BUILTIN.TRANSPOSE_CONV, (1, 5, 5, 4), (6, 3, 3, 4), (1, 11, 11, 6), None, 25 * 4 * 6 * 9),
        (BUILTIN.CONV_3D, (1, 4, 4, 4, 2), (2, 2, 2, 2, 5), (1, 3, 3, 3, 5), None, 27 * 5 * 16),
        (BUILTIN.FULLY_CONNECTED, (1, 12), (5, 12), (1, 5), None, 60),
        (BUILTIN.BATCH_MATMUL, (3, 7, 12), (3, 12, 5), (3, 7, 5), turned(first=False), 3 * 7 * 12 * 5),
        (BUILTIN.BATCH_MATMUL, (3, 12, 7), (3, 12, 5), (3, 7, 5), turned(first=True), 3 * 7 * 12 * 5),
        (BUILTIN.SOFTMAX, (1, 12), (1,), (1, 12), None, 0),
        (BUILTIN.UNIDIRECTIONAL_SEQUENCE_LSTM, (1, 4, 3), (3, 3), (1, 4, 3), None, None),
        (BUILTIN.CUSTOM, (1, 12), (5, 12), (1, 5), None, None),
    ],
)
def test_an_operator_counts_as_by_hand(
    code: int,
    given: tuple[int, ...],
    weight: tuple[int, ...],
    made: tuple[int, ...],
    options: Any,
    macs: int | None,
    tmp_path: Path,
) -> None:
    tables = read_tables(written(tmp_path, code, given, weight, made, options))
    assert count_macs(tables) == macs
    assert count_parameters(tables) == np.prod(weight)
