"""The route of comparisons, and versions side by side as its answer."""

from typing import Any, Literal
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.measures import MEASURES
from zoo_sdk.vocabulary import MetricSource
from zoo_server.catalog.api import presentation
from zoo_server.catalog.api.routes import CatalogView, answer
from zoo_server.catalog.models import Version
from zoo_server.catalog.selectors.comparison import (
    COSTS,
    Compared,
    Comparison,
    ComparisonQuery,
    Front,
    Place,
    compare_versions,
    condition_of,
)
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import StrictSerializer, validated

COMPARABILITY = (
    "Latency, throughput, load time and memory are comparable only within one hardware fingerprint, batch and number "
    "of threads; accuracy only on one data set and split. Reported figures are somebody's word, measured ones were "
    "found by jobs of this registry: fronts never mix the two."
)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedFigure(_Body):
    """A number and its circumstances; ``comparable`` false: not with those of the other versions, ``why_not`` says why.

    ``noisy``: the machine was too busy for exact figures; null where nobody looked.
    """

    value: float
    comparable: bool
    why_not: str | None
    dataset: str | None
    split: str | None
    runtime: str | None
    device: str | None
    fingerprint: str | None
    batch: int | None
    threads: int | None
    noisy: bool | None
    origin: str | None
    job: UUID | None


class ComparedColumn(_Body):
    """One metric of a version: what was reported, and what was measured here."""

    metric: str
    unit: str
    direction: str
    reported: ComparedFigure | None
    measured: ComparedFigure | None


class ComparedVersion(_Body):
    """A version with its figures, the metric of the comparison first."""

    reference: str
    title: str
    architecture: str
    state: str
    strategy: str
    formats: list[str]
    precisions: list[str]
    columns: list[ComparedColumn]


class ComparedPlace(_Body):
    """On which data set and split accuracy is compared."""

    dataset: str
    split: str


class ComparedCondition(_Body):
    """Within which hardware, batch and threads figures of the machine are compared."""

    fingerprint: str
    batch: int
    threads: int


class KnownFingerprint(_Body):
    """Hardware on which some of the versions were timed."""

    fingerprint: str
    hardware: dict[str, Any]
    versions: int


class FrontPointBody(_Body):
    """A version in the plane of accuracy and cost."""

    reference: str
    accuracy: float
    cost: float
    on_front: bool


class LeftOut(_Body):
    """A version without comparable figures, and why."""

    reference: str
    reason: str


class FrontBody(_Body):
    """Accuracy against a cost, from figures of one source; ``on_front``: no other version beats it in both."""

    source: Literal["measured", "reported"]
    metric: str
    cost: str
    unit: str
    points: list[FrontPointBody]
    left_out: list[LeftOut]


class AgreementBody(_Body):
    """How often two versions say the same of a picture of the data set."""

    first: str
    second: str
    percent: float
    samples: int


class ComparisonAnswer(_Body):
    """Versions side by side; ``comparability`` says in words which figures may be compared with which."""

    comparability: str
    metric: str
    measured_on: ComparedPlace | None
    reported_on: ComparedPlace | None
    condition: ComparedCondition | None
    fingerprints: list[KnownFingerprint]
    versions: list[ComparedVersion]
    fronts: list[FrontBody]
    agreement: list[AgreementBody]


class ComparisonParameters(StrictSerializer):
    """Which versions, by what; what is left out is where most of them have a figure."""

    version = serializers.ListField(child=serializers.CharField(max_length=300), max_length=100)
    metric = serializers.CharField(required=False, help_text="Default: that of the task, such as top1.")
    dataset = serializers.CharField(required=False, max_length=300, help_text="team/name@1, or a reported name.")
    split = serializers.CharField(required=False, max_length=60)
    fingerprint = serializers.CharField(required=False, max_length=71, help_text="Hardware of the figures of machines.")
    batch = serializers.IntegerField(required=False, min_value=1)
    threads = serializers.IntegerField(required=False, min_value=1)


class ComparisonView(CatalogView):
    """Versions side by side."""

    operations = {"GET": "compare"}

    @extend_schema(
        parameters=[
            OpenApiParameter("version", {"type": "array", "items": {"type": "string"}}, required=True, explode=True),
            *(
                OpenApiParameter(name, int if name in {"batch", "threads"} else str)
                for name in ("metric", "dataset", "split", "fingerprint", "batch", "threads")
            ),
        ],
        responses=ComparisonAnswer,
    )
    def get(self, request: Request) -> Response:
        """Compare 2 to 20 versions (`?version=a/b@1&version=a/c@2`): figures, Pareto fronts and agreement."""
        query = query_of(request.query_params)
        return answer(describe_comparison(compare_versions(principal=principal_of(request), query=query)))


def query_of(parameters: Any) -> ComparisonQuery:
    """The checked query string (a ``QueryDict``)."""
    given = validated(ComparisonParameters, {**parameters.dict(), "version": parameters.getlist("version")})
    return ComparisonQuery(references=tuple(given.pop("version")), **given)


def describe_comparison(found: Comparison) -> ComparisonAnswer:
    """A comparison as the route answers it."""
    return ComparisonAnswer(
        comparability=COMPARABILITY,
        metric=found.metric,
        measured_on=_place(found.measured_on),
        reported_on=_place(found.reported_on),
        condition=ComparedCondition(**found.condition._asdict()) if found.condition else None,
        fingerprints=[
            KnownFingerprint(
                fingerprint=metric.details["fingerprint"], hardware=_hardware(metric.details), versions=count
            )
            for metric, count in found.fingerprints
        ],
        versions=[_version(found, version) for version in found.versions],
        fronts=[
            _front(found, found.front(cost, source))
            for source in (MetricSource.MEASURED, MetricSource.REPORTED)
            for cost in COSTS
        ],
        agreement=[
            AgreementBody(
                first=str(pair.first), second=str(pair.second), percent=100 * pair.same / pair.samples,
                samples=pair.samples,
            )
            for pair in found.agreements
        ],
    )  # fmt: skip


def _place(place: Place | None) -> ComparedPlace | None:
    return ComparedPlace(**place._asdict()) if place else None


def _hardware(details: dict[str, Any]) -> dict[str, Any]:
    found = details.get("hardware")
    return found if isinstance(found, dict) else {}


def _version(found: Comparison, version: Version) -> ComparedVersion:
    repository = version.repository
    artifacts = list(version.artifacts.all())
    return ComparedVersion(
        reference=str(version),
        title=repository.title or repository.name,
        architecture=repository.architecture,
        state=version.state,
        strategy=" + ".join(dict.fromkeys(step.kind for step in version.strategy.all())),
        formats=list(dict.fromkeys(artifact.format for artifact in artifacts)),
        precisions=list(dict.fromkeys(artifact.precision for artifact in artifacts if artifact.precision)),
        columns=[
            ComparedColumn(
                metric=name,
                unit=MEASURES[name].unit,
                direction=MEASURES[name].direction,
                reported=_figure(found.figure(version, name, MetricSource.REPORTED)),
                measured=_figure(found.figure(version, name, MetricSource.MEASURED)),
            )
            for name in found.columns
        ],
    )


def _figure(figure: Compared | None) -> ComparedFigure | None:
    if figure is None:
        return None
    metric = figure.metric
    told, condition = presentation.describe_metric(metric), condition_of(metric)
    origin, noisy = metric.details.get("source"), metric.details.get("noisy")
    return ComparedFigure(
        value=told.value,
        comparable=figure.why_not is None,
        why_not=figure.why_not,
        dataset=told.dataset,
        split=told.split,
        runtime=told.runtime,
        device=told.device,
        fingerprint=condition.fingerprint if condition else None,
        batch=(condition.batch or None) if condition else None,
        threads=(condition.threads or None) if condition else None,
        noisy=noisy if isinstance(noisy, bool) else None,
        origin=str(origin) if origin else None,
        job=told.job,
    )


def _front(found: Comparison, front: Front) -> FrontBody:
    return FrontBody(
        source=front.source.value,
        metric=found.metric,
        cost=front.cost,
        unit=MEASURES[front.cost].unit,
        points=[
            FrontPointBody(
                reference=str(item.version), accuracy=item.point.accuracy, cost=item.point.cost, on_front=item.on_front
            )
            for item in front.points
        ],
        left_out=[LeftOut(reference=str(version), reason=reason) for version, reason in front.left_out],
    )
