"""The graph of a quantised network as data: its nodes, and the shapes that run through them."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_NODES = 10_000
MAX_NUMBERS_PER_SAMPLE = 2**28
"""What the nodes hold at one time, or the windows of one convolution, for one sample: bounds what a stranger's file
makes us allocate."""

Size = Annotated[int, Field(ge=1, le=2**20)]
Pair = tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]]
PaddingWidth = Annotated[int, Field(ge=0, le=4096)]
Padding = tuple[PaddingWidth, PaddingWidth]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
Value = Annotated[int, Field(ge=0, le=MAX_NODES)]
"""A value's number: 0 is the network's input, k what the k-th node makes."""
Shape = tuple[int, ...]
"""Of one sample: (channels, height, width) or (features,)."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Integers(_Record):
    """How a layer's numbers are integers: weights signed with ``weight_bits``, inputs round(clip(x / input_step)).

    Zero is the integer 0 on both sides (there are no zero points): unsigned inputs are 0 .. 2^b - 1, signed ones
    -2^(b-1) .. 2^(b-1) - 1.
    """

    weight_bits: int = Field(ge=2, le=8)
    input_bits: int = Field(ge=2, le=8)
    input_signed: bool
    input_step: float = Field(gt=0)

    @property
    def weight_range(self) -> tuple[int, int]:
        """The smallest and the largest code of a weight."""
        return -(2 ** (self.weight_bits - 1)), 2 ** (self.weight_bits - 1) - 1

    @property
    def input_range(self) -> tuple[int, int]:
        """The smallest and the largest code of an input."""
        if self.input_signed:
            return -(2 ** (self.input_bits - 1)), 2 ** (self.input_bits - 1) - 1
        return 0, 2**self.input_bits - 1


class _Node(_Record):
    def sources(self) -> tuple[int, ...]:
        """The values that it reads."""
        raise NotImplementedError

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The shape of what it makes; raises ValueError where the inputs' shapes do not fit."""
        raise NotImplementedError


class _OneInput(_Node):
    input: Value

    def sources(self) -> tuple[int, ...]:
        return (self.input,)


class Convolution(_OneInput):
    """y = multiplier * sum(weight * x) + bias for each output channel; ``integers`` None: weights in float32."""

    op: Literal["convolution"] = "convolution"
    name: Name
    outputs: Size
    inputs_per_group: Size
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    dilation: Pair = (1, 1)
    groups: Size = 1
    integers: Integers | None = None

    @property
    def weight_shape(self) -> Shape:
        return (self.outputs, self.inputs_per_group, *self.kernel)

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        channels, *_ = _picture(inputs[0])
        if channels != self.inputs_per_group * self.groups or self.outputs % self.groups:
            raise ValueError(f"{channels} channels enter {self.groups} groups of {self.inputs_per_group}")
        extent = tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilation, strict=True))
        sizes = _windows(inputs[0], (extent[0], extent[1]), self.stride, self.padding)
        if (numbers := prod((*sizes, *self.kernel, self.inputs_per_group))) > MAX_NUMBERS_PER_SAMPLE:
            raise ValueError(f"its windows hold {numbers} numbers for one sample")
        return (self.outputs, *sizes)


class Linear(_OneInput):
    """As :class:`Convolution`, for (features,)."""

    op: Literal["linear"] = "linear"
    name: Name
    outputs: Size
    inputs: Size
    integers: Integers | None = None

    @property
    def weight_shape(self) -> Shape:
        return (self.outputs, self.inputs)

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if inputs[0] != (self.inputs,):
            raise ValueError(f"the shape {inputs[0]} enters {self.inputs} inputs")
        return (self.outputs,)


class Affine(_OneInput):
    """multiplier * x + bias for each channel: a normalisation that could not be joined with a layer."""

    op: Literal["affine"] = "affine"
    name: Name
    channels: Size

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if inputs[0][0] != self.channels:
            raise ValueError(f"{inputs[0][0]} channels enter an affine of {self.channels}")
        return inputs[0]


class Activation(_OneInput):
    """One function of each number."""

    op: Literal["activation"] = "activation"
    function: Literal["relu", "relu6", "hardswish", "hardsigmoid", "sigmoid", "silu"]

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]


class Pooling(_OneInput):
    """The maximum or mean of windows; ``counts_padding``: zeros around the picture take part in a mean."""

    op: Literal["pooling"] = "pooling"
    function: Literal["max", "mean"]
    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0)
    counts_padding: bool = True

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        channels, *_ = _picture(inputs[0])
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel, strict=True)):
            raise ValueError("the padding exceeds half of the window")
        return (channels, *_windows(inputs[0], self.kernel, self.stride, self.padding))


class ZeroPadding(_OneInput):
    """Zeros around a picture, as many at each side as ``sides`` says: those of TensorFlow's SAME are not symmetric."""

    op: Literal["zero_padding"] = "zero_padding"
    sides: tuple[PaddingWidth, PaddingWidth, PaddingWidth, PaddingWidth]
    """Top, left, bottom, right."""

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        channels, height, width = _picture(inputs[0])
        top, left, bottom, right = self.sides
        return (channels, height + top + bottom, width + left + right)


class GlobalPooling(_OneInput):
    """The maximum or mean of each channel; ``flat``: (channels,) instead of (channels, 1, 1)."""

    op: Literal["global_pooling"] = "global_pooling"
    function: Literal["max", "mean"]
    flat: bool

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        channels, *_ = _picture(inputs[0])
        return (channels,) if self.flat else (channels, 1, 1)


class Flatten(_OneInput):
    """All numbers of a sample in one row, channel by channel."""

    op: Literal["flatten"] = "flatten"

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (prod(inputs[0]),)


class Combination(_Node):
    """The sum or product of two values; one of them may have height and width 1."""

    op: Literal["combination"] = "combination"
    function: Literal["add", "multiply"]
    inputs: tuple[Value, Value]

    def sources(self) -> tuple[int, ...]:
        return self.inputs

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        first, second = inputs
        if len(first) != len(second) or first[0] != second[0]:
            raise ValueError(f"the shapes {first} and {second} do not fit")
        if first != second and (1, 1) not in {first[1:], second[1:]}:
            raise ValueError(f"the shapes {first} and {second} do not fit")
        return (first[0], *map(max, zip(first[1:], second[1:], strict=True)))


class Concatenation(_Node):
    """Values one after the other along the channels."""

    op: Literal["concatenation"] = "concatenation"
    inputs: tuple[Value, ...] = Field(min_length=1, max_length=1000)

    def sources(self) -> tuple[int, ...]:
        return self.inputs

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len({shape[1:] for shape in inputs}) > 1:
            raise ValueError(f"the shapes {inputs} do not fit")
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])


WeightedNode = Convolution | Linear
Node = Annotated[
    Convolution
    | Linear
    | Affine
    | Activation
    | ZeroPadding
    | Pooling
    | GlobalPooling
    | Flatten
    | Combination
    | Concatenation,
    Field(discriminator="op"),
]


class Graph(_Record):
    """Nodes in the order of computation; the last one makes the output.  Shapes are checked when it is built."""

    version: Literal[1] = 1
    input_shape: tuple[Size, Size, Size]
    nodes: tuple[Node, ...] = Field(min_length=1, max_length=MAX_NODES)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self.shapes()
        names = [node.name for node in self.nodes if isinstance(node, (Convolution, Linear, Affine))]
        if len(names) != len(set(names)):
            raise ValueError("two nodes have the same name")
        return self

    def shapes(self) -> tuple[Shape, ...]:
        """The shape of every value for one sample, that of the input first; raises ValueError."""
        shapes: list[Shape] = [self.input_shape]
        last_uses = self.last_uses()
        held = prod(self.input_shape)
        for number, node in enumerate(self.nodes, 1):
            if any(source >= number for source in node.sources()):
                raise ValueError(f"node {number} reads a value that is made later")
            try:
                shape = node.shape(tuple(shapes[source] for source in node.sources()))
            except ValueError as error:
                raise ValueError(f"node {number} ({node.op}): {error}") from error
            held += prod(shape)
            if held > MAX_NUMBERS_PER_SAMPLE:
                raise ValueError(f"{held} numbers are held for one sample at node {number} ({node.op})")
            if number not in last_uses and number < len(self.nodes):
                raise ValueError(f"node {number} ({node.op}) makes what nothing reads")
            held -= sum(prod(shapes[source]) for source in set(node.sources()) if last_uses[source] == number)
            shapes.append(shape)
        return tuple(shapes)

    def last_uses(self) -> dict[int, int]:
        """By value: the number of the last node that reads it."""
        uses: dict[int, int] = {}
        for number, node in enumerate(self.nodes, 1):
            uses.update(dict.fromkeys(node.sources(), number))
        return uses


def _picture(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(f"the shape {shape} is not (channels, height, width)")
    return shape


def _windows(shape: Shape, extent: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Shape:
    sizes = tuple(
        (size + 2 * pad - width) // step + 1
        for size, width, step, pad in zip(shape[1:], extent, stride, padding, strict=True)
    )
    padded = prod(size + 2 * pad for size, pad in zip(shape[1:], padding, strict=True)) * shape[0]
    if min(sizes) < 1 or padded > MAX_NUMBERS_PER_SAMPLE:
        raise ValueError(f"windows of {extent} do not fit the shape {shape} padded by {padding}")
    return sizes
