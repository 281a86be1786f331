"""What callers ask of this app, as typed and bounded data (the bodies of ``POST jobs``)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from zoo_sdk.operations import MAX_GPUS

MAX_INPUTS_PER_PORT = 64


class InputRequest(BaseModel):
    """One version for an input port: ``team/name@3``, ``team/name@alias``, optionally ``#path`` of one artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=3, max_length=700, description="team/name@3 or team/name@alias, optionally #path.")
    weight: float | None = Field(None, gt=0, allow_inf_nan=False, description="Only for ports that are weighted.")


class JobSubmission(BaseModel):
    """``POST jobs``: what to run, on what, and where the result goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str = Field(min_length=1, max_length=100, description="Name of a registered operation.")
    team: str | None = Field(None, max_length=96, description="Default: the team of the output or of the first model.")
    inputs: dict[str, str | InputRequest | list[str | InputRequest]] = Field(default_factory=dict, max_length=32)
    params: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict, max_length=32)
    seed: int = Field(0, ge=0, le=2**63 - 1)
    gpus: int | None = Field(
        None, ge=0, le=MAX_GPUS, description="GPUs of one worker. Default: as many as the operation needs, mostly none."
    )
    cache: Literal["use", "refresh", "off"] = Field(
        "use",
        description="use: take the result of an equal job; refresh: run, and keep it for others; off: run only.",
    )
    priority: int = Field(5, ge=0, le=9, description="9 runs first, 0 last.")
    max_attempts: int = Field(3, ge=1, le=10)
    time_limit_seconds: int | None = Field(None, ge=1, le=30 * 86400, description="Default: the operation's own limit.")

    def inputs_by_port(self) -> dict[str, tuple[InputRequest, ...]]:
        """The inputs in one shape: every port with its versions in order."""
        return {
            port: tuple(
                InputRequest(version=item) if isinstance(item, str) else item
                for item in (value if isinstance(value, list) else [value])
            )
            for port, value in self.inputs.items()
        }
