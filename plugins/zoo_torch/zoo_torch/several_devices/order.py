"""What the processes of an operation on several devices are told, and what they say back."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from zoo_sdk.context import Inputs

LAUNCHER_REPORT = "launcher.json"
REPORTS = "reports.jsonl"
GROUP_STORE = "process-group"
RENDEZVOUS = "rendezvous"


class _Record(BaseModel):
    # A diverged loss travels as text, as it does between worker and registry.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Order(_Record):
    """Everything that a member needs.  ``function`` and ``params_class`` are ``module:name`` of our own code.

    ``folder``: for the files of this module, and each member's own; deleted with the attempt.
    """

    function: str
    params_class: str
    params: dict[str, Any]
    inputs: Inputs
    seed: int
    devices: tuple[str, ...]
    threads: int
    folder: Path
    shared_cache: Path
    checkpoint: Path | None

    @property
    def path(self) -> Path:
        """Where it is written."""
        return self.folder / "order.json"

    def staging(self, port: str) -> Path:
        """The folder into which the first member writes an output."""
        return self.folder / "outputs" / port


Call = Literal["progress", "metric", "measure", "log", "artifact", "checkpoint"]


class Report(_Record):
    """A call of the first member's context, to be repeated on the operation's own."""

    call: Call
    arguments: dict[str, Any]


class MemberFailure(_Record):
    """Why a member failed.  ``lost_others``: because another had ended; ``seconds``: when, on the machine's clock."""

    seconds: float
    kind: str
    detail: str
    hint: str = ""
    facts: dict[str, Any] = {}
    lost_others: bool = False


class LauncherReport(_Record):
    """The members that failed, with their exit codes; -9 stands for signal 9."""

    exit_codes: dict[int, int]


def failure_file(folder: Path, index: int) -> Path:
    """Where member ``index`` writes its :class:`MemberFailure`."""
    return folder / f"failure-{index}.json"
