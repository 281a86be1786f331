"""The routes of reports: what jobs found about a version that is more than a number."""

from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_server.catalog import selectors
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.routes import KindView, answer
from zoo_server.catalog.models import Report
from zoo_server.catalog.selectors.lineage import HIDDEN
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import PageQuery, validated


class ReportAnswer(BaseModel):
    """A report without its content; ``size``: bytes of the content as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    kind: str
    size: int
    dataset: str | None
    split: str | None
    artifact: str | None
    runtime: str | None
    device: str | None
    job: UUID
    created_at: datetime


class ReportDetailAnswer(ReportAnswer):
    """A report; ``content`` has the shape of its kind (docs/measuring.md)."""

    content: dict[str, Any]


class ReportQuery(PageQuery):
    """Filters of a list of reports."""

    kind = serializers.CharField(required=False, help_text="For example classification or benchmark.")


class ReportList(KindView):
    """What jobs found about a version that is more than a number."""

    operations = {"GET": "list_reports"}

    @extend_schema(parameters=[ReportQuery], responses=answers.page_of(ReportAnswer))
    def get(self, request: Request, **_: str) -> Response:
        """List them, newest first, without their content."""
        query = validated(ReportQuery, request.query_params)
        page = selectors.list_reports(principal=principal_of(request), version=self.version(), **query)
        return Response(presentation.page_answer(page, describe_report))


class ReportDetail(KindView):
    """One report."""

    operations = {"GET": "get_report"}

    @extend_schema(responses=ReportDetailAnswer)
    def get(self, request: Request, **kwargs: str) -> Response:
        """Show figures per class, the confusion, calibration and predictions of an evaluation, or a sweep."""
        found = selectors.get_report(principal=principal_of(request), version=self.version(), report=kwargs["report"])
        return answer(ReportDetailAnswer(**describe_report(found).model_dump(), content=found.content))


def describe_report(report: Report) -> ReportAnswer:
    """A report of :mod:`zoo_server.catalog.selectors.reports` rows."""
    files = list(report.artifact.files.all()) if report.artifact else []
    held = str(report.dataset) if report.dataset else HIDDEN if report.dataset_id else None
    return ReportAnswer(
        id=report.id,
        kind=report.kind,
        size=report.size,
        dataset=held,
        split=report.split or None,
        artifact=files[0].path if files else None,
        runtime=report.runtime or None,
        device=report.device or None,
        job=report.job_id,
        created_at=report.created_at,
    )
