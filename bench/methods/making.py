"""What a table makes, as data: an operation with its parameters and its seed, and the makings that it starts from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Self

from zoo_sdk.discovery import find_operation
from zoo_sdk.operations import OperationSpec


@cache
def spec_of(operation: str) -> OperationSpec:
    """The installed operation of that name; looked up once."""
    return find_operation(operation)


@dataclass(frozen=True)
class Source:
    """A making as an input of another one; ``weight`` is a teacher's share."""

    making: "Making"
    weight: float | None = None


@dataclass(frozen=True)
class Making:
    """One run of an operation.  ``inputs``: by port; the data set is given to every port called ``data``.

    ``params`` holds what is set on purpose; what is left out has the operation's default.
    """

    operation: str
    params: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)

    def with_inputs(self, **sources: Self | tuple[Source, ...]) -> "Making":
        """The same run on these inputs; a single making has no weight."""
        inputs = {port: source if isinstance(source, tuple) else (Source(source),) for port, source in sources.items()}
        return Making(self.operation, self.params, self.seed, {**self.inputs, **inputs})

    def digest(self, data: str) -> str:
        """sha256 of everything that decides the result: settings, seeds, the data's digest, and all that came before.

        The operation's version counts, not its code: who changes what an operation does raises its version.
        """
        settings = {
            "operation": self.operation,
            "version": spec_of(self.operation).version,
            "params": dict(self.params),
            "seed": self.seed,
            "data": data,
            "inputs": {
                port: [[source.making.digest(data), source.weight] for source in sources]
                for port, sources in self.inputs.items()
            },
        }
        return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def chain(self) -> Iterator["Making"]:
        """The makings whose weights went into the result, the first one first: neither teachers nor a mere pattern."""
        for port, sources in self.inputs.items():
            if port != "teacher" and self.params.get("initialise") != "scratch":
                for source in sources:
                    yield from source.making.chain()
        yield self

    @property
    def epochs(self) -> int:
        """Epochs of training that the result has seen, its teachers' not counted."""
        return sum(int(making.params.get("epochs", 0)) for making in self.chain())


def data_digest(reference: str, description: str) -> str:
    """A short digest of which data set it is, from its reference and its description as JSON."""
    return sha256(f"{reference}\n{description}".encode()).hexdigest()[:16]
