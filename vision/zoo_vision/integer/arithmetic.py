"""Exact sums of products of integers, computed by the matrix products of floating-point units.

numpy multiplies integer matrices without BLAS, tens of times slower.  Floating-point numbers hold whole numbers exactly
up to 2^24 (float32) or 2^53 (float64), in whatever order they are added, as long as no partial sum is larger: the
largest that is possible, max over outputs of sum |weight| times the largest |input|, decides which of the two is used.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from zoo_sdk.errors import InvalidInput
from zoo_vision.integer.graph import Convolution

EXACT_IN_FLOAT32 = 2**24
EXACT_IN_FLOAT64 = 2**53
WORKSPACE_BYTES = 2**26
"""About what the windows of a convolution may take at once."""


def exact_type(weights: NDArray[np.int16], largest_input: int) -> type[np.float32] | type[np.float64]:
    """The floating-point type in which sum(weights * inputs) over all but the first axis is exact.

    Raises:
        InvalidInput: a sum might be too large for either.

    """
    largest = int(np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(axis=1).max()) * largest_input
    if largest >= EXACT_IN_FLOAT64:
        raise InvalidInput(f"A sum of products may reach {largest}, which is not exact in any floating-point type.")
    return np.float32 if largest < EXACT_IN_FLOAT32 else np.float64


def linear_sums(inputs: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """(N, in) by (out, in) to (N, out)."""
    result: NDArray[Any] = inputs @ weights.T
    return result


class ConvolutionSums:
    """Sums of products of a convolution: (N, H, W, in) to (N, H', W', out), both in channels-last order."""

    def __init__(self, node: Convolution, weights: NDArray[Any]) -> None:
        self._node = node
        self._is_depthwise = node.inputs_per_group == 1 and node.groups > 1
        # (kernel h, kernel w, in, out), so that windows and weights are read in the order of memory.
        self._kernel = np.ascontiguousarray(weights.transpose(2, 3, 1, 0))

    def __call__(self, inputs: NDArray[Any]) -> NDArray[Any]:
        rows, columns = self._node.padding
        border = ((0, 0), (rows, rows), (columns, columns), (0, 0))
        padded = np.pad(inputs, border) if rows or columns else inputs
        return self._of_depth(padded) if self._is_depthwise else self._of_windows(padded)

    def _of_depth(self, padded: NDArray[Any]) -> NDArray[Any]:
        node = self._node
        repeated = np.repeat(padded, node.outputs // node.groups, axis=3) if node.outputs > node.groups else padded
        height, width = _output_size(padded, node)
        result = np.zeros((len(padded), height, width, node.outputs), dtype=padded.dtype)
        for row in range(node.kernel[0]):
            for column in range(node.kernel[1]):
                top, left = row * node.dilation[0], column * node.dilation[1]
                part = repeated[
                    :,
                    top : top + (height - 1) * node.stride[0] + 1 : node.stride[0],
                    left : left + (width - 1) * node.stride[1] + 1 : node.stride[1],
                ]
                result += part * self._kernel[row, column, 0]
        return result

    def _of_windows(self, padded: NDArray[Any]) -> NDArray[Any]:
        node = self._node
        height, width = _output_size(padded, node)
        result = np.empty((len(padded), height, width, node.outputs), dtype=padded.dtype)
        fan_in = node.kernel[0] * node.kernel[1] * node.inputs_per_group
        outputs = node.outputs // node.groups
        for part in _parts(len(padded), height * width * fan_in * padded.itemsize):
            for group in range(node.groups):
                channels = slice(group * node.inputs_per_group, (group + 1) * node.inputs_per_group)
                made = slice(group * outputs, (group + 1) * outputs)
                rows = self._windows(padded[part, :, :, channels]).reshape(-1, fan_in)
                kernel = self._kernel[..., made].reshape(fan_in, outputs)
                result[part, :, :, made] = (rows @ kernel).reshape(-1, height, width, outputs)
        return result

    def _windows(self, padded: NDArray[Any]) -> NDArray[Any]:
        """(N, H', W', kernel h, kernel w, in), a view."""
        node = self._node
        if node.kernel == (1, 1):
            return padded[:, :: node.stride[0], :: node.stride[1], None, None]
        views = sliding_window_view(padded, _extent(node), axis=(1, 2))
        strided = views[:, :: node.stride[0], :: node.stride[1], :, :: node.dilation[0], :: node.dilation[1]]
        return strided.transpose(0, 1, 2, 4, 5, 3)


def _extent(node: Convolution) -> tuple[int, int]:
    return (node.kernel[0] - 1) * node.dilation[0] + 1, (node.kernel[1] - 1) * node.dilation[1] + 1


def _output_size(padded: NDArray[Any], node: Convolution) -> tuple[int, int]:
    extent = _extent(node)
    return (
        (padded.shape[1] - extent[0]) // node.stride[0] + 1,
        (padded.shape[2] - extent[1]) // node.stride[1] + 1,
    )


def _parts(samples: int, bytes_for_each: int) -> Iterator[slice]:
    at_once = max(1, WORKSPACE_BYTES // max(1, bytes_for_each))
    for start in range(0, samples, at_once):
        yield slice(start, min(start + at_once, samples))
