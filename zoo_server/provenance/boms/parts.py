"""What goes into a bill of materials: a version and its relations, as the caller may see them, with bounded lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from zoo_sdk.vocabulary import LineageRole, RepositoryKind
from zoo_server.catalog.models import LineageEdge, Metric, StrategyStep, Version, VersionFile
from zoo_server.catalog.selectors import get_version_details
from zoo_server.catalog.selectors.lineage import HIDDEN
from zoo_server.rest.principals import Principal

MAX_FILES = 10_000
MAX_METRICS = 1000
DATA_ROLES = frozenset({LineageRole.TRAINED_ON, LineageRole.CALIBRATED_ON, LineageRole.EVALUATED_ON})


@dataclass(frozen=True)
class Relation:
    """A parent or data set of the version.  ``id`` names it inside the document; a hidden one has a number only."""

    id: str
    role: LineageRole
    name: str
    number: str
    digest: str
    uri: str
    weight: float | None

    @property
    def is_data(self) -> bool:
        """Whether it is a data set."""
        return self.role in DATA_ROLES


@dataclass(frozen=True)
class BomParts:
    """A version for a bill of materials.  ``left_out``: files beyond :data:`MAX_FILES`."""

    version: Version
    time: datetime
    address: str
    files: Sequence[VersionFile]
    left_out: int
    relations: Sequence[Relation]
    metrics: Sequence[Metric]
    steps: Sequence[StrategyStep]

    @property
    def id(self) -> str:
        """How the version is named in documents."""
        return f"urn:uuid:{self.version.pk}"

    @property
    def is_data(self) -> bool:
        """Whether the version is a data set's."""
        return self.version.repository.kind == RepositoryKind.DATASET

    @property
    def ancestors(self) -> list[Relation]:
        """The models that it comes from: base, teachers, sources of a conversion ..."""
        return [relation for relation in self.relations if not relation.is_data]

    @property
    def data(self) -> list[Relation]:
        """The data sets that it was trained on, calibrated on or evaluated on, each once."""
        return list({relation.id: relation for relation in self.relations if relation.is_data}.values())


def bom_parts(*, principal: Principal, version: Version) -> BomParts:
    """Everything about ``version`` that a bill of materials tells, in a fixed number of queries."""
    found = get_version_details(principal=principal, version=version)
    files = sorted(found.files.all(), key=lambda file: file.path)
    edges = list(found.parent_edges.all())
    kind, name = found.repository.kind, str(found.repository)
    return BomParts(
        version=found,
        time=found.sealed_at or found.created_at,
        address=f"{settings.ZOO_PUBLIC_URL}/api/v1/{kind}s/{name}/versions/{found.number}",
        files=files[:MAX_FILES],
        left_out=max(0, len(files) - MAX_FILES),
        relations=[_relation(edge, position) for position, edge in enumerate(edges)],
        metrics=list(found.metrics.all())[-MAX_METRICS:],
        steps=list(found.strategy.all()),
    )


def _relation(edge: LineageEdge, position: int) -> Relation:
    """A parent that the caller may not see stays nameless, as in the version's own description."""
    parent = edge.parent
    role = LineageRole(edge.role)
    if parent is None:
        name = HIDDEN if edge.parent_id else edge.external_uri
        identifier = f"urn:zoo:parent:{edge.child_id}:{position}"
        return Relation(identifier, role, name, "", "", edge.external_uri, edge.weight)
    return Relation(
        f"urn:uuid:{parent.pk}", role, str(parent.repository), str(parent.number), parent.digest, "", edge.weight
    )


def metric_context(metric: Metric) -> str:
    """Under which circumstances a value was found: data set, split, runtime, device."""
    dataset = str(metric.dataset) if metric.dataset else HIDDEN if metric.dataset_id else metric.dataset_name
    texts = (dataset, metric.split, metric.runtime, metric.device, metric.source)
    return ", ".join(text for text in texts if text)
