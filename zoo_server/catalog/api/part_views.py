"""Routes of what belongs to a version: files, artifacts, lineage, strategy, metrics."""

from dataclasses import asdict

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_inspection.telling import TABLES, table_of
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import InvalidInput, NotFound
from zoo_sdk.vocabulary import LineageRole, MetricSource, RepositoryKind, Scope, VersionState
from zoo_server.artifacts.downloads import blob_response
from zoo_server.catalog import selectors, services
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.bodies import (
    FactTableQuery,
    FileAddition,
    LineageQuery,
    MetricQuery,
    MetricReport,
    ParentAddition,
    StrategyReport,
)
from zoo_server.catalog.api.routes import KindView, answer
from zoo_server.catalog.descriptions import StepDescription
from zoo_server.catalog.models import Artifact, Version
from zoo_server.catalog.services.lineage import DATA_ROLES
from zoo_server.rest.principals import Principal, principal_of
from zoo_server.rest.problems import Gone
from zoo_server.rest.serializers import validated


class FileList(KindView):
    """The files of a version."""

    scopes = {"POST": Scope.ADD}
    operations = {"POST": "add_file"}

    @extend_schema(request=FileAddition, responses={201: answers.FileAnswer})
    def post(self, request: Request, **_: str) -> Response:
        """Put a file into a draft: a completed upload, or bytes that the team holds already."""
        version, principal = self.version(), principal_of(request)
        body = self.body(FileAddition)
        if body.upload is not None:
            file = services.add_uploaded_file(
                principal=principal, version=version, path=body.path, upload_id=body.upload
            )
        else:
            file = services.add_held_file(
                principal=principal, version=version, path=body.path, sha256=body.sha256 or ""
            )
        return answer(presentation.describe_file(file), 201)


class FileDetail(KindView):
    """The bytes of a file."""

    scopes = {"GET": Scope.READ, "DELETE": Scope.ADD}
    operations = {"GET": "download_file", "DELETE": "remove_file"}

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, path: str, **_: str) -> HttpResponseBase:
        """Download it.  Range and conditional requests are answered; 410 when the version was withdrawn."""
        version = self.version()
        address = f"/api/v1/{self.kind.value}s/{version.repository}/versions/{version.number}"
        if hasattr(version, "deletion"):
            raise Gone(
                f"{version} was deleted: its files are not served any more.",
                hint=f"GET {address} tells when and why; POST {address}/restore takes it back while there is time.",
                facts={"deleted": "tombstone" if version.deletion.buried_at else "restorable"},
            )
        if version.state == VersionState.WITHDRAWN:
            raise Gone(
                f"{version} was withdrawn: its files are not served any more.",
                hint=f"GET {address} tells when and why, GET {address}/lineage what came from it.",
                facts={"state": version.state},
            )
        file = selectors.get_file(version=version, path=path)
        return blob_response(request, blob=file.held(), filename=path.rsplit("/", 1)[-1])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, path: str, **_: str) -> Response:
        """Take it out of a draft, and with it the artifact that it is part of."""
        services.remove_file(principal=principal_of(request), version=self.version(), path=path)
        return Response(status=204)


class FileInspection(KindView):
    """What was found in a file."""

    operations = {"GET": "inspect_file"}

    @extend_schema(responses=answers.InspectionAnswer)
    def get(self, request: Request, path: str, **_: str) -> Response:
        """Facts and findings of its bytes, which were looked at and not executed; 409 while they are not mirrored."""
        file = selectors.inspected_file(version=self.version(), path=path)
        return answer(presentation.describe_inspection(file))


class FactTable(KindView):
    """A table of a file's facts."""

    operations = {"GET": "fact_table"}

    @extend_schema(parameters=[FactTableQuery], responses=answers.FactTableAnswer)
    def get(self, request: Request, table: str, path: str, **_: str) -> Response:
        """Its rows in pages: `layers` or `weights`.  The first rows of a file are kept, all are counted."""
        query = validated(FactTableQuery, request.query_params)
        file = selectors.inspected_file(version=self.version(), path=path)
        found = table_of(file.held().facts, table)
        if found is None:
            raise NotFound(
                f"{path[:120]!r} has no table {table[:40]!r}.", hint=f"Tables are called {' and '.join(TABLES)}."
            )
        start = query["cursor"] or 0
        rows = found["rows"][start : start + query["limit"]]
        end = start + len(rows)
        return answer(
            answers.FactTableAnswer(
                name=table,
                count=found["count"],
                kept=len(found["rows"]),
                columns=found["columns"],
                results=rows,
                next=str(end) if end < len(found["rows"]) else None,
            )
        )


class ArtifactList(KindView):
    """The artifacts of a version."""

    scopes = {"POST": Scope.ADD}
    operations = {"POST": "add_artifact"}

    @extend_schema(request=ArtifactDescription, responses={201: answers.ArtifactAnswer})
    def post(self, request: Request, **_: str) -> Response:
        """Say what files of a draft are; the format is checked against their bytes."""
        version = self.version()
        description = self.body(ArtifactDescription)
        artifact = services.add_artifact(principal=principal_of(request), version=version, description=description)
        return answer(presentation.describe_artifact(artifact), 201)


class Lineage(KindView):
    """Where a version comes from, and what came from it."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADD}
    operations = {"GET": "lineage", "POST": "add_parent"}

    @extend_schema(parameters=[LineageQuery], responses=answers.LineageAnswer)
    def get(self, request: Request, **_: str) -> Response:
        """Ancestors and descendants."""
        depth = validated(LineageQuery, request.query_params)["depth"]
        graph = selectors.lineage_graph(principal=principal_of(request), version=self.version(), depth=depth)
        return answer(answers.LineageAnswer(**asdict(graph)))

    @extend_schema(request=ParentAddition, responses={201: answers.ParentAnswer})
    def post(self, request: Request, **_: str) -> Response:
        """Record a parent of a draft; 409 `cycle` when the version is an ancestor of it."""
        version, principal = self.version(), principal_of(request)
        body = self.body(ParentAddition)
        parent = None
        if body.parent is not None:
            kind = RepositoryKind.DATASET if body.role in DATA_ROLES else self.kind
            parent = selectors.resolve_version(principal=principal, reference=body.parent, kind=kind)
        edge = services.add_parent(
            principal=principal,
            version=version,
            role=LineageRole(body.role),
            parent=parent,
            external_uri=body.external_uri or "",
            weight=body.weight,
        )
        return answer(presentation.describe_parent(edge), 201)


class Strategy(KindView):
    """How a version was made."""

    scopes = {"POST": Scope.ADD}
    operations = {"POST": "set_strategy"}

    @extend_schema(request=StrategyReport, responses=answers.StrategyAnswer)
    def post(self, request: Request, **_: str) -> Response:
        """Replace a draft's strategy."""
        version = self.version()
        steps = [StepDescription(**step.model_dump()) for step in self.body(StrategyReport).steps]
        made = services.set_strategy(principal=principal_of(request), version=version, steps=steps)
        return answer(answers.StrategyAnswer(steps=[presentation.describe_step(step) for step in made]))


class MetricList(KindView):
    """Numbers about a version."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADD}
    operations = {"GET": "list_metrics", "POST": "report_metric"}

    @extend_schema(parameters=[MetricQuery], responses=answers.page_of(answers.MetricAnswer))
    def get(self, request: Request, **_: str) -> Response:
        """List them, newest first."""
        query = validated(MetricQuery, request.query_params)
        page = selectors.list_metrics(principal=principal_of(request), version=self.version(), **query)
        return Response(presentation.page_answer(page, presentation.describe_metric))

    @extend_schema(request=MetricReport, responses={201: answers.MetricAnswer})
    def post(self, request: Request, **_: str) -> Response:
        """Report a number, also about a sealed version.  Only jobs make measured ones."""
        version, principal = self.version(), principal_of(request)
        body = self.body(MetricReport)
        dataset = _held_dataset(principal, body.dataset)
        metric = services.add_metric(
            principal=principal,
            version=version,
            name=body.name,
            value=body.value,
            source=MetricSource.REPORTED,
            dataset=dataset,
            dataset_name="" if dataset else body.dataset,
            split=body.split,
            artifact=_artifact_with(version, body.artifact),
            runtime=body.runtime,
            device=body.device,
            details=body.details,
        )
        return answer(presentation.describe_metric(metric), 201)


def _held_dataset(principal: Principal, text: str) -> Version | None:
    """Text with an ``@`` names a data set that is held here; other text stays text."""
    if "@" not in text:
        return None
    return selectors.resolve_version(principal=principal, reference=text, kind=RepositoryKind.DATASET)


def _artifact_with(version: Version, path: str | None) -> Artifact | None:
    if path is None:
        return None
    found = version.artifacts.filter(files__path=path).first()
    if found is None:
        raise InvalidInput(f"{version} has no artifact with the file {path[:120]!r}.", facts={"field": "artifact"})
    return found
