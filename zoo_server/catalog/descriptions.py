"""What callers say about a repository or a strategy step: checked here once, for services and routes alike."""

import re
from typing import Annotated, Any, TypedDict
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from zoo_sdk.vocabulary import StrategyKind, Visibility

MAX_TAGS = 50
MAX_STEPS = 200
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that PostgreSQL cannot hold: NUL, and halves of surrogate pairs."""
Tag = Annotated[str, StringConstraints(pattern=r"^[\w][\w .:/+-]*$", max_length=60, strip_whitespace=True)]


class RepositoryFields(TypedDict, total=False):
    """The describing fields of a repository, as keywords."""

    title: str
    task: str
    architecture: str
    licence: str
    tags: list[str]
    visibility: Visibility | str
    card: str


class RepositoryDescription(BaseModel):
    """The describing fields of a repository with their limits.  ``card``: Markdown with YAML front matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field("", max_length=200)
    task: str = Field("", max_length=60)
    architecture: str = Field("", max_length=100)
    licence: str = Field("", max_length=100)
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    visibility: Visibility = Visibility.INTERNAL
    card: str = ""

    @field_validator("title", "task", "architecture", "licence")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if UNSTORABLE.search(value) or re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError("must be one line without control characters")
        return value.strip()

    @field_validator("card")
    @classmethod
    def _storable(cls, value: str) -> str:
        if UNSTORABLE.search(value):
            raise ValueError("holds a NUL or half a character")
        return value

    @field_validator("tags")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))


class StepDescription(BaseModel):
    """One step of a strategy.  ``operation`` and ``job_id`` are known for steps that a job of ours made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: StrategyKind
    method: str = Field(min_length=1, max_length=100)
    parameters: dict[str, Any] = Field(default_factory=dict)
    operation: str = Field("", max_length=120)
    job_id: UUID | None = None
