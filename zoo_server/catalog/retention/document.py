"""The shape of a retention policy, version 1; docs/storage.md explains every key.  Unknown keys are errors."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.catalog.plain_yaml import load_yaml

MAX_BYTES = 64 * 1024
MAX_RULES = 100


class InvalidPolicy(InvalidInput):
    """The text is no retention policy; ``facts["errors"]`` lists every mistake that was found."""

    code = "invalid-policy"


class Rule(BaseModel):
    """For which models or data sets (``*`` stands for any characters), and what goes: both conditions must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: Annotated[str, StringConstraints(pattern=r"^[a-z0-9*._-]{1,96}$")] = "*"
    kind: Literal["model", "dataset", "any"] = "any"
    keep_last: int | None = Field(None, ge=1, le=1_000_000)
    older_than_days: int | None = Field(None, ge=1, le=36_500)

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if self.keep_last is None and self.older_than_days is None:
            raise ValueError(
                "give keep_last, older_than_days or both: a rule without a condition would take everything"
            )
        return self

    def is_about(self, kind: str, name: str) -> bool:
        """Whether the rule decides about the versions of that model or data set."""
        return self.kind in {"any", RepositoryKind(kind).value} and fnmatchcase(name, self.names)


class Policy(BaseModel):
    """The rules of a team.  The first one that is about a model or data set decides about its versions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention: Literal[1]
    rules: list[Rule] = Field(min_length=1, max_length=MAX_RULES)


def read_policy(text: str, *, file: str = "retention.yaml") -> Policy:
    """The policy that ``text`` holds; raises :class:`InvalidPolicy` with all mistakes at once."""
    content = load_yaml(text, file=file, error=InvalidPolicy, max_bytes=MAX_BYTES)
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        faults = [
            {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
            for item in error.errors(include_url=False)
        ]
        shown = "; ".join(f"{fault['field'] or 'the file'}: {fault['message']}" for fault in faults[:3])
        raise InvalidPolicy(
            f"{file} is no retention policy: {shown}.",
            hint="docs/storage.md describes the keys.",
            facts={"errors": faults[:20]},
        ) from error
