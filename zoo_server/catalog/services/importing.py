"""Making versions of a catalogue's rows: in one transaction, and nothing twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.db import transaction

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import Conflict
from zoo_sdk.vocabulary import MetricSource, RepositoryKind
from zoo_server.accounts.models import Team
from zoo_server.audit.services import record_event
from zoo_server.catalog.catalogues.document import Artifact, Catalogue, Figure, Model, Parent, Row
from zoo_server.catalog.catalogues.reading import in_order, key_of
from zoo_server.catalog.descriptions import RepositoryFields, StepDescription
from zoo_server.catalog.manifest import canonical_json
from zoo_server.catalog.models import Artifact as ArtifactRow
from zoo_server.catalog.models import CatalogueEntry, Repository, Version
from zoo_server.catalog.selectors import visible_repositories
from zoo_server.catalog.services.files import RemoteDeclaration, add_artifact, add_remote_file
from zoo_server.catalog.services.lineage import add_parent, set_strategy
from zoo_server.catalog.services.metrics import add_metric
from zoo_server.catalog.services.repositories import create_repository, update_repository
from zoo_server.catalog.services.states import seal_version
from zoo_server.catalog.services.versions import create_version
from zoo_server.rest.principals import Principal

CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"


@dataclass(frozen=True)
class ImportedRow:
    """What became of one row."""

    key: str
    outcome: str
    version: Version


@dataclass
class _Import:
    """One import at work."""

    principal: Principal
    team: Team
    catalogue: Catalogue
    prefix: str
    entries: Mapping[str, CatalogueEntry]
    versions: dict[str, Version] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)


def import_catalogue(*, principal: Principal, team: Team, catalogue: Catalogue, prefix: str = "") -> list[ImportedRow]:
    """Make every row of the catalogue a version of ``team``: all of them, or none.

    A row that was imported before and has not changed is left alone; one that has changed gets a new version of its
    model.  The models are called as in the catalogue, with ``prefix`` before the name.  The caller has checked that
    the principal may write in the team.

    Raises:
        Conflict: the team has a model of that name which is not from this catalogue.

    """
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)  # one import of a team after the other
        rows = CatalogueEntry.objects.filter(team=team, catalogue=catalogue.name)
        entries = {entry.key: entry for entry in rows.select_related("version__repository__team")}
        work = _Import(principal, team, catalogue, prefix, entries)
        work.repositories.update({entry.key.partition("/")[0]: entry.version.repository for entry in entries.values()})
        done = [_import_row(work, model, row) for model, row in in_order(catalogue)]
        if any(item.outcome != UNCHANGED for item in done):
            counts = {name: sum(item.outcome == name for item in done) for name in (CREATED, CHANGED, UNCHANGED)}
            record_event(
                actor=principal,
                action="catalogue.imported",
                subject=team,
                team=team.name,
                details={"catalogue": catalogue.name, **counts},
            )
    return done


def _import_row(work: _Import, model: Model, row: Row) -> ImportedRow:
    key = key_of(model, row)
    digest = _digest(work.catalogue, model, row)
    entry = work.entries.get(key)
    if entry is not None and entry.digest == digest:
        work.versions[key] = entry.version
        return ImportedRow(key, UNCHANGED, entry.version)
    version = _make_version(work, _repository(work, model), row)
    work.versions[key] = version
    CatalogueEntry.objects.update_or_create(
        team=work.team,
        catalogue=work.catalogue.name,
        key=key,
        defaults={"digest": digest, "version": version},
    )
    return ImportedRow(key, CREATED if entry is None else CHANGED, version)


def _digest(catalogue: Catalogue, model: Model, row: Row) -> str:
    """Of everything that the row's version is made of."""
    described = model.model_dump(mode="json", exclude={"versions"})
    named = {figure.source for figure in row.metrics}
    content = {
        "model": described,
        "row": row.model_dump(mode="json"),
        "sources": {name: catalogue.sources[name].model_dump(mode="json") for name in sorted(named)},
        "datasets": {name: part.model_dump(mode="json") for name, part in _used(catalogue.datasets, row, "dataset")},
        "external": {name: part.model_dump(mode="json") for name, part in _used(catalogue.external, row, "external")},
    }
    return f"sha256:{sha256(canonical_json(content).encode()).hexdigest()}"


def _used(parts: Mapping[str, Any], row: Row, kind: str) -> Sequence[tuple[str, Any]]:
    names = {getattr(edge, kind) for edge in row.parents}
    names |= {figure.dataset for figure in row.metrics} if kind == "dataset" else set()
    return [(name, parts[name]) for name in sorted(names - {None})]


def _repository(work: _Import, model: Model) -> Repository:
    """The row's model: the one of an earlier import, described anew, or a new one."""
    name = f"{work.prefix}{model.name}"
    known = work.repositories.get(model.name)
    fields: RepositoryFields = {
        "title": model.title,
        "task": model.task,
        "architecture": model.architecture,
        "licence": model.licence,
        "tags": list(dict.fromkeys([*model.tags, f"catalogue:{work.catalogue.name}"])),
        "card": _card(work.catalogue, model),
    }
    if known is not None:
        return update_repository(principal=work.principal, repository=known, **fields)
    rows = visible_repositories(principal=work.principal).filter(team=work.team, kind=RepositoryKind.MODEL)
    if rows.filter(name=name).exists():
        raise Conflict(
            f"{work.team.name}/{name} exists already, and is not from the catalogue {work.catalogue.name!r}.",
            hint="Import with a prefix for the names, such as --prefix adlik-.",
            facts={"model": f"{work.team.name}/{name}"},
        )
    made = create_repository(principal=work.principal, team=work.team, kind=RepositoryKind.MODEL, name=name, **fields)
    work.repositories[model.name] = made
    return made


def _make_version(work: _Import, repository: Repository, row: Row) -> Version:
    principal = work.principal
    version = create_version(principal=principal, repository=repository, notes=_notes(row))
    artifacts = {artifact.name: _add_artifact(principal, version, artifact) for artifact in row.artifacts}
    steps = [StepDescription(**step.model_dump()) for step in row.strategy]
    if steps:
        set_strategy(principal=principal, version=version, steps=steps)
    for edge in row.parents:
        _add_edge(work, version, edge)
    for figure in row.metrics:
        _add_figure(work, version, figure, artifacts)
    return seal_version(
        principal=principal,
        version=version,
        comment=f"imported from the catalogue {work.catalogue.name}",
        may_be_empty=True,
    )


def _add_artifact(principal: Principal, version: Version, artifact: Artifact) -> ArtifactRow:
    for file in artifact.files:
        add_remote_file(
            principal=principal,
            version=version,
            path=file.local_path,
            address=file.address,
            declared=RemoteDeclaration(file.label, file.sha256, file.size),
        )
    description = ArtifactDescription(
        name=artifact.name,
        format=artifact.format,
        files=tuple(file.local_path for file in artifact.files),
        precision=artifact.precision,
        preprocessing=artifact.preprocessing,
        details=artifact.details,
    )
    return add_artifact(principal=principal, version=version, description=description)


def _add_edge(work: _Import, version: Version, edge: Parent) -> None:
    known = work.catalogue.external | work.catalogue.datasets
    external = edge.external or edge.dataset
    add_parent(
        principal=work.principal,
        version=version,
        role=edge.role,
        parent=work.versions[edge.row] if edge.row else None,
        external_uri=known[external].uri if external else "",
        weight=edge.weight,
    )


def _add_figure(work: _Import, version: Version, figure: Figure, artifacts: Mapping[str, ArtifactRow]) -> None:
    source = work.catalogue.sources[figure.source]
    details: dict[str, Any] = {"catalogue": work.catalogue.name, "source": source.title}
    details |= {"uri": source.uri} if source.uri else {}
    details |= {"notes": figure.notes} if figure.notes else {}
    add_metric(
        principal=work.principal,
        version=version,
        name=figure.name,
        value=figure.value,
        source=MetricSource.REPORTED,
        dataset_name=work.catalogue.datasets[figure.dataset].title if figure.dataset else "",
        split=figure.split,
        artifact=artifacts[figure.artifact] if figure.artifact else None,
        runtime=figure.runtime,
        device=figure.device,
        details=details,
    )


def _notes(row: Row) -> str:
    parts = [row.title or "", row.introduction, *(f"Uncertain: {text}" for text in row.uncertain)]
    return "\n".join(part for part in parts if part)


def _card(catalogue: Catalogue, model: Model) -> str:
    """The model's card: what the catalogue says, row by row."""
    lines = [f"# {model.title or model.name}", "", f"From the catalogue *{catalogue.title}*.", ""]
    if model.notes:
        lines += [model.notes, ""]
    for row in model.versions:
        lines += [f"## {row.title or row.key}", ""]
        lines += [row.introduction, ""] if row.introduction else []
        lines += [f"- Uncertain: {text}" for text in row.uncertain]
        lines += [""] if row.uncertain else []
    return "\n".join(lines).rstrip() + "\n"
