"""The state of a search between attempts: a model of pydantic as JSON in the job's checkpoint."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from zoo_sdk.context import OperationContext

SECONDS_BETWEEN = 10
"""A step of a search in a large network takes minutes, in a small one milliseconds: its parts are kept so often."""

StateT = TypeVar("StateT", bound=BaseModel)


@dataclass
class SavedState(Generic[StateT]):
    """Reads and writes the checkpoint of a job whose state is of the class ``kind``."""

    context: OperationContext
    kind: type[StateT]
    _saved_at: float = field(default_factory=time.monotonic, init=False)

    def load(self) -> StateT | None:
        """What an earlier attempt saved; None where there is nothing that can be read."""
        path = self.context.restore()
        if path is None:
            return None
        try:
            return self.kind.model_validate_json(path.read_bytes())
        except ValidationError:
            self.context.log("The checkpoint of an earlier attempt cannot be read: starting over.")
            return None

    def save(self, state: StateT) -> None:
        """Replace the checkpoint."""
        text = state.model_dump_json()

        def write(path: Path) -> None:
            path.write_text(text, encoding="utf-8")

        self.context.checkpoint(write)
        self._saved_at = time.monotonic()

    def save_now_and_then(self, state: StateT) -> None:
        """Replace it if the last time is a while ago."""
        if time.monotonic() - self._saved_at >= SECONDS_BETWEEN:
            self.save(state)
