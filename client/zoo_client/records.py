"""The registry's answers as typed dictionaries, as docs/rest-contract.md describes them."""

from typing import Any, Literal, NotRequired, TypedDict

Kind = Literal["models", "datasets"]


class Repository(TypedDict):
    """A named line of versions."""

    id: str
    kind: str
    team: str
    name: str
    full_name: str
    title: str
    task: str
    architecture: str
    licence: str
    tags: list[str]
    visibility: str
    card: str
    card_metadata: dict[str, Any]
    created_by: str
    created_at: str
    updated_at: str
    latest: Any
    aliases: dict[str, int]
    deletion: NotRequired[dict[str, Any] | None]


class FileRecord(TypedDict):
    """A file of a version.  While it is not ``mirrored``, its digest and size may be None: see ``held_files``."""

    path: str
    sha256: str
    size: int
    format: NotRequired[str]
    facts: NotRequired[dict[str, Any] | None]
    findings: NotRequired[list[Any]]
    mirrored: NotRequired[bool]
    address: NotRequired[str | None]
    label: NotRequired[str | None]
    mirror: NotRequired[dict[str, Any] | None]


class FileInspection(TypedDict):
    """What was found in a file's bytes; of one on this machine without digest, artifact and contradictions."""

    path: str
    sha256: str | None
    size: int
    format: str
    inspector: int
    severity: str | None
    findings: list[dict[str, Any]]
    facts: dict[str, Any]
    artifact: str | None
    contradictions: list[str]


class FactTable(TypedDict):
    """Rows of a table of a file's facts."""

    name: str
    count: int
    kept: int
    columns: list[str]
    results: list[list[Any]]
    next: str | None


class Parent(TypedDict):
    """A lineage edge to a parent."""

    role: str
    weight: float | None
    reference: str | None
    external_uri: str | None


class Metric(TypedDict):
    """A number about a version."""

    id: str
    name: str
    value: float
    unit: str
    direction: str
    source: str
    dataset: str | None
    split: str | None
    artifact: str | None
    runtime: str | None
    device: str | None
    details: dict[str, Any]
    job: str | None
    created_by: str
    created_at: str


class Version(TypedDict):
    """A version with all that belongs to it."""

    id: str
    reference: str
    team: str
    name: str
    kind: str
    number: int
    state: str
    digest: str
    size: int
    mirrored: NotRequired[bool]
    notes: str
    dataset: dict[str, Any] | None
    created_by: str
    created_at: str
    sealed_at: str | None
    job: str | None
    files: list[FileRecord]
    artifacts: list[dict[str, Any]]
    strategy: list[dict[str, Any]]
    parents: list[Parent]
    metrics: list[Metric]
    aliases: list[str]
    state_changes: list[dict[str, Any]]
    pin: NotRequired[dict[str, Any] | None]
    deletion: NotRequired[dict[str, Any] | None]


class SigningKey(TypedDict):
    """The public half of a key that the registry signs with."""

    id: str
    algorithm: str
    public_key: str
    state: str
    endorsement: dict[str, Any] | None
    created_at: str
    retired_at: str | None
    revoked_at: str | None
    revocation_reason: str


class Attestations(TypedDict):
    """What proves a version: a DSSE envelope and a Sigstore bundle, and its ancestors' envelopes."""

    reference: str
    digest: str
    provenance: dict[str, Any] | None
    signature: dict[str, Any] | None
    ancestors: list[dict[str, Any]]
    left_out: int
    keys: list[SigningKey]


class LineageNode(TypedDict):
    """A version or an external parent in the graph."""

    id: str
    reference: str | None
    kind: str
    state: str
    operation: str | None
    external_uri: NotRequired[str]


class LineageEdge(TypedDict):
    """Child and parent are ids of nodes."""

    child: str
    parent: str
    role: str
    weight: float | None


class Lineage(TypedDict):
    """Ancestors and descendants of ``root``."""

    root: str
    nodes: list[LineageNode]
    edges: list[LineageEdge]


class Job(TypedDict):
    """One run of an operation."""

    id: str
    team: str
    operation: str
    operation_version: int
    state: str
    params: dict[str, Any]
    seed: int
    inputs: list[dict[str, Any]]
    outputs: dict[str, str]
    attempt: int
    max_attempts: int
    priority: int
    gpus: int
    queue: str
    waiting_for: str | None
    owner: str | None
    cancel_requested: bool
    progress: dict[str, Any]
    cause: str | None
    error: dict[str, Any] | None
    result: str | None
    cached_from: str | None
    mlflow_run_id: str | None
    mlflow_url: str | None
    created_by: str
    created_at: str
    started_at: str | None
    finished_at: str | None


class JobEvent(TypedDict):
    """Something an attempt said."""

    id: int
    attempt: int
    number: int
    time: str
    kind: str
    body: dict[str, Any]


class CheckedRecipe(TypedDict):
    """The answer of ``POST recipes/validate``."""

    name: str
    summary: str
    inputs: Any
    sets: Any
    axes: Any
    steps: list[dict[str, Any]]
    outputs: Any


class PlannedStep(TypedDict):
    """A step instance as it would run.

    ``cached``: the version that the result cache has for it; ``waiting_for``: what no worker has that it needs.
    """

    key: str
    name: str
    coordinates: dict[str, Any]
    operation: str
    operation_version: int
    available: bool
    waiting_for: str | None
    params: dict[str, Any]
    seed: Any
    gpus: int
    inputs: list[dict[str, Any]]
    model: str | None
    gates: list[str]
    cached: str | None
    left_out: bool
    estimate_seconds: float | None
    estimate_basis: str


class Plan(TypedDict):
    """The answer of ``POST recipes/plan``."""

    name: str
    set: str | None
    team: str
    steps: list[PlannedStep]
    edges: list[dict[str, str]]
    estimate: dict[str, Any]
    recipe_digest: str


class ConversionPlan(TypedDict):
    """The answer of ``POST conversions/plan``."""

    version: str
    to: str
    found: bool
    problem: str
    start: dict[str, Any] | None
    steps: list[dict[str, Any]]
    cost: int
    unavailable: list[dict[str, Any]]
    team: str | None
    model: str
    recipe: str | None


class PipelineStep(TypedDict):
    """A step of a pipeline, as it is."""

    key: str
    name: str
    coordinates: dict[str, Any]
    operation: str
    state: str
    reason: str
    error: dict[str, Any] | None
    params: dict[str, Any]
    seed: Any
    inputs: list[dict[str, Any]]
    model: str | None
    job: dict[str, Any] | None
    result: str | None
    gates: list[dict[str, Any]]
    started_at: str | None
    finished_at: str | None


class Pipeline(TypedDict):
    """A recipe at work; ``recipe``, ``steps`` and ``edges`` only in the answer for one."""

    id: str
    team: str
    name: str
    set: str | None
    state: str
    cancel_requested: bool
    recipe_digest: str
    recipe: NotRequired[str]
    values: dict[str, Any]
    axes: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, Any]
    counts: dict[str, int]
    steps: list[PipelineStep]
    edges: NotRequired[list[dict[str, str]]]
    mlflow_run_id: str | None
    mlflow_url: str | None
    priority: int
    created_by: str
    created_at: str
    started_at: str | None
    finished_at: str | None


class Upload(TypedDict):
    """A finished upload: the bytes are in the store."""

    id: str
    sha256: str
    size: int
    state: str
    format: NotRequired[str]
    findings: NotRequired[list[Any]]


class Verification(TypedDict):
    """The answer of ``GET audit/verification``."""

    ok: bool
    events: int
    checked: int
    first_broken: dict[str, Any] | None
    head: dict[str, Any] | None


class Page(TypedDict):
    """One page of a list; ``next`` is the cursor of the page after it."""

    results: list[dict[str, Any]]
    next: str | None
