"""The closed sets of words: one enumeration for each, used by registry, workers, plugins and clients."""

from enum import StrEnum


class RepositoryKind(StrEnum):
    """What a named line of versions holds."""

    MODEL = "model"
    DATASET = "dataset"


class Visibility(StrEnum):
    """Who may read: the team's members, everyone signed in, or everyone."""

    PRIVATE = "private"
    INTERNAL = "internal"
    PUBLIC = "public"


class VersionState(StrEnum):
    """``draft -> candidate -> approved -> deprecated -> withdrawn``; a version is sealed on leaving ``draft``."""

    DRAFT = "draft"
    CANDIDATE = "candidate"
    APPROVED = "approved"
    DEPRECATED = "deprecated"
    WITHDRAWN = "withdrawn"


class LineageRole(StrEnum):
    """What a parent was to its child.  ``reused_from``: the child has the parent's files, taken from the result cache
    instead of being made again.
    """

    BASE = "base"
    TEACHER = "teacher"
    INITIALISED_FROM = "initialised_from"
    CONVERTED_FROM = "converted_from"
    TRAINED_ON = "trained_on"
    CALIBRATED_ON = "calibrated_on"
    EVALUATED_ON = "evaluated_on"
    REUSED_FROM = "reused_from"


class StrategyKind(StrEnum):
    """The kinds of step by which a model is made."""

    TRAINING = "training"
    PRETRAINING = "pretraining"
    FINETUNING = "finetuning"
    DISTILLATION = "distillation"
    PRUNING = "pruning"
    QUANTIZATION = "quantization"
    CONVERSION = "conversion"


class Precision(StrEnum):
    """The number format that carries most of a model's weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT7 = "int7"
    INT6 = "int6"
    INT5 = "int5"
    INT4 = "int4"
    INT3 = "int3"
    INT2 = "int2"
    MIXED = "mixed"


class MetricSource(StrEnum):
    """``reported``: somebody said so.  ``measured``: an evaluation or benchmark job of ours found it."""

    REPORTED = "reported"
    MEASURED = "measured"


class TeamRole(StrEnum):
    """A member's part in a team, each with the scopes in :data:`ROLE_SCOPES`."""

    READER = "reader"
    CONTRIBUTOR = "contributor"
    ENGINEER = "engineer"
    CURATOR = "curator"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a token may do.  ``admin`` includes every other scope except ``worker``; ``write`` includes ``add``.

    ``add``: new models, versions, files and figures, and one's own drafts; ``write``: also to change what is there.
    """

    READ = "read"
    ADD = "add"
    WRITE = "write"
    SUBMIT = "submit"
    CURATE = "curate"
    AUDIT = "audit"
    WORKER = "worker"
    ADMIN = "admin"


_READ = frozenset({Scope.READ})
ROLE_SCOPES: dict[TeamRole, frozenset[Scope]] = {
    TeamRole.READER: _READ,
    TeamRole.CONTRIBUTOR: _READ | {Scope.ADD},
    TeamRole.ENGINEER: _READ | {Scope.ADD, Scope.WRITE, Scope.SUBMIT},
    TeamRole.CURATOR: _READ | {Scope.ADD, Scope.WRITE, Scope.SUBMIT, Scope.CURATE},
    TeamRole.AUDITOR: _READ | {Scope.AUDIT},
    TeamRole.ADMIN: frozenset(Scope) - {Scope.WORKER},
}
"""What each role may do inside its team; a token narrows this further."""


class JobState(StrEnum):
    """``queued -> running -> succeeded | failed | cancelled``; a lost or retried attempt goes back to ``queued``."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class PipelineState(StrEnum):
    """``running -> succeeded | failed | stopped | cancelled``; the last three go back to ``running`` on a retry.

    ``failed``: a step failed; ``stopped``: none did, but a gate stopped what comes after it.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


class StepState(StrEnum):
    """A pipeline's step: ``waiting -> running -> succeeded | failed | gated | cancelled``, or ``skipped`` unseen.

    ``gated``: its job succeeded, but what it made did not pass a gate.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GATED = "gated"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


FINAL_STEP_STATES = frozenset(StepState) - {StepState.WAITING, StepState.RUNNING}


class FailureCause(StrEnum):
    """Why an attempt did not succeed."""

    PLUGIN_ERROR = "plugin_error"
    INVALID_INPUT = "invalid_input"
    PARITY_FAILED = "parity_failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"
    INFRASTRUCTURE = "infrastructure"


RETRYABLE_CAUSES = frozenset({FailureCause.WORKER_LOST, FailureCause.INFRASTRUCTURE})
"""Causes that another attempt may cure.  A deterministic error is never retried by itself."""
