"""The route of the leaderboard, and a version as a row of it."""

from typing import Literal

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.measures import MEASURES
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.routes import CatalogView
from zoo_server.catalog.models import Metric, Version
from zoo_server.catalog.selectors.leaderboard import (
    LeaderboardQuery,
    columns_of,
    figures_of,
    leaderboard,
    ranking_metric,
)
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import PageQuery, validated


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Body):
    """A number and under which circumstances it was found; ``origin``: who reported it, if a catalogue says so."""

    value: float
    dataset: str | None
    split: str | None
    runtime: str | None
    device: str | None
    origin: str | None


class Column(_Body):
    """One metric of a row: what was reported, and what was measured here."""

    metric: str
    unit: str
    direction: str
    reported: Figure | None
    measured: Figure | None


class WeightFile(_Body):
    """A file of a row; ``format`` is what its zoo calls it, else what its artifact is."""

    path: str
    format: str
    address: str | None
    mirrored: bool


class LeaderboardRow(_Body):
    """A version: how it was made, where its files are, and its figures, the ranking metric first.

    ``files``: ``here``, ``not mirrored`` (some are only at their address) or ``none`` (only figures are known).
    """

    reference: str
    title: str
    architecture: str
    strategy: str
    introduction: str
    state: str
    availability: Literal["here", "not mirrored", "none"]
    files: list[WeightFile]
    columns: list[Column]


class LeaderboardParameters(PageQuery):
    """Which rows, ranked by what."""

    task = serializers.CharField(max_length=60)
    metric = serializers.CharField(required=False, help_text="Default: the task's own, such as top1.")
    dataset = serializers.CharField(
        required=False, max_length=300, help_text="Only figures on the data set of this name, such as ImageNet-1k."
    )
    team = serializers.CharField(required=False)
    catalogue = serializers.CharField(required=False, help_text="Only rows that were imported from it.")
    mirrored = serializers.BooleanField(required=False, allow_null=True, default=None)
    sort = serializers.CharField(
        required=False,
        default="best",
        help_text="best (default: measured, else reported), reported, measured, name, created_at; -: descending.",
    )


class LeaderboardView(CatalogView):
    """The table of a task."""

    operations = {"GET": "leaderboard"}

    @extend_schema(parameters=[LeaderboardParameters], responses=answers.page_of(LeaderboardRow))
    def get(self, request: Request) -> Response:
        """Rank the versions of a task; reported and measured figures stand side by side."""
        given = validated(LeaderboardParameters, request.query_params)
        cursor, limit = given.pop("cursor"), given.pop("limit")
        query = LeaderboardQuery(**given)
        page = leaderboard(principal=principal_of(request), query=query, cursor=cursor, limit=limit)
        return Response(presentation.page_answer(page, lambda row: describe_row(row, ranking_metric(query))))


def describe_row(version: Version, metric: str) -> LeaderboardRow:
    """A version of :func:`zoo_server.catalog.selectors.leaderboard.leaderboard` rows."""
    repository = version.repository
    formats = {artifact.pk: artifact.format for artifact in version.artifacts.all()}
    files = [
        WeightFile(
            path=file.path,
            format=file.label
            or formats.get(file.artifact_id or version.pk, "")
            or (file.blob.format if file.blob else ""),
            address=file.address or None,
            mirrored=file.blob_id is not None,
        )
        for file in version.files.all()
    ]
    availability: Literal["here", "not mirrored", "none"] = "none"
    if files:
        availability = "here" if all(file.mirrored for file in files) else "not mirrored"
    return LeaderboardRow(
        reference=str(version),
        title=repository.title or repository.name,
        architecture=repository.architecture,
        strategy=" + ".join(dict.fromkeys(step.kind for step in version.strategy.all())),
        introduction=version.notes,
        state=version.state,
        availability=availability,
        files=files,
        columns=[_column(version, name) for name in columns_of(metric)],
    )


def _column(version: Version, name: str) -> Column:
    reported, measured = figures_of(version, name)
    measure = MEASURES[name]
    return Column(
        metric=name,
        unit=measure.unit,
        direction=measure.direction,
        reported=_figure(reported),
        measured=_figure(measured),
    )


def _figure(metric: Metric | None) -> Figure | None:
    if metric is None:
        return None
    told = presentation.describe_metric(metric)
    origin = metric.details.get("source")
    return Figure(
        value=told.value,
        dataset=told.dataset,
        split=told.split,
        runtime=told.runtime,
        device=told.device,
        origin=str(origin) if origin else None,
    )
