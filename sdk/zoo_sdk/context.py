"""What an operation gets while it runs: its inputs as local files, and a context to report through."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription
from zoo_sdk.errors import InvalidInput
from zoo_sdk.names import Digest
from zoo_sdk.shared_cache import digest_of_folder


class InputItem(BaseModel):
    """One version handed to an input port.  Its files lie read-only under ``folder``.

    Models: ``artifact`` is the one that the port's formats selected.  Data sets: ``dataset`` describes the splits.
    ``digest``: of all files, where whoever made the folder knows it; see :meth:`content_digest`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    folder: Path
    artifact: ArtifactDescription | None = None
    dataset: DatasetDescription | None = None
    weight: float | None = None
    digest: Digest | None = None

    def content_digest(self) -> str:
        """One digest for all files: the known one, or computed by reading them."""
        return self.digest or digest_of_folder(self.folder)

    @property
    def main_file(self) -> Path:
        """The artifact's first file."""
        if self.artifact is None:
            raise InvalidInput(f"{self.reference} is a data set: it has no main file.")
        return self.folder / self.artifact.files[0]


class Inputs(BaseModel):
    """All inputs by port."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ports: Mapping[str, tuple[InputItem, ...]]

    def one(self, port: str) -> InputItem:
        """The single item of a required port."""
        item = self.optional(port)
        if item is None:
            raise InvalidInput(f"The input {port!r} is missing.", facts={"field": port})
        return item

    def optional(self, port: str) -> InputItem | None:
        """The single item of a port, or None."""
        items = self.many(port)
        return items[0] if items else None

    def many(self, port: str) -> Sequence[InputItem]:
        """All items of a port, in the order of the request."""
        return self.ports.get(port, ())


class OperationContext(Protocol):
    """The operation's only way to the outside.  Every method is cheap; reports are sent by another process."""

    seed: int
    devices: tuple[str, ...]
    """Such as ``("cpu",)`` or ``("cuda:0",)``."""
    threads: int
    """CPU threads that the operation may use."""

    @property
    def scratch(self) -> Path:
        """An empty folder that is deleted after the attempt."""

    @property
    def shared_cache(self) -> Path:
        """A folder that outlives attempts and jobs and is shared by all jobs of a worker, at the same time too.

        For what is costly to make and depends on nothing but its key; use :class:`zoo_sdk.shared_cache.SharedCache`.
        The worker evicts what was not used for longest, so anything here may be gone.
        """

    def output(self, port: str = "model") -> Path:
        """The folder into which that output's files are written."""

    def artifact(self, description: ArtifactDescription, *, port: str = "model") -> None:
        """Declare one artifact of an output; its files must exist under :meth:`output`."""

    def progress(self, done: float, total: float, message: str = "") -> None:
        """How far the work is.  Throttled: call it as often as you like."""

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """A point of a curve (loss by step ...): goes to the job's events and to MLflow, not to the registry."""

    def measure(
        self,
        name: str,
        value: float,
        *,
        dataset: str | None = None,
        split: str | None = None,
        runtime: str | None = None,
        device: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """A result, recorded as a *measured* metric of the version under test (the ``measured`` input port, else the
        version that the job makes).  ``name`` is one of :data:`zoo_sdk.measures.MEASURES`; ``dataset`` names an
        input port.
        """

    def report(
        self,
        kind: str,
        content: Mapping[str, Any],
        *,
        dataset: str | None = None,
        split: str | None = None,
        runtime: str | None = None,
        device: str | None = None,
    ) -> None:
        """What was found that is more than a number, as plain JSON values of bounded size; it is kept beside the
        metrics of the version under test.  See :class:`zoo_sdk.messages.Report`; ``dataset`` names an input port.
        """

    def log(self, message: str) -> None:
        """One line for people."""

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        """Save progress: ``write(path)`` writes one file, which replaces the former checkpoint atomically."""

    def restore(self) -> Path | None:
        """The newest checkpoint of an earlier attempt at the same job, or None."""

    def raise_if_cancelled(self) -> None:
        """Raise :class:`zoo_sdk.errors.Cancelled` if the job was cancelled or its worker is stopping."""


ParamsT_contra = TypeVar("ParamsT_contra", contravariant=True)


class OperationFunction(Protocol[ParamsT_contra]):
    """The signature of an implementation."""

    def __call__(self, params: ParamsT_contra, inputs: Inputs, context: OperationContext) -> None: ...
