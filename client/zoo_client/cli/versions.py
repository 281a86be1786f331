"""``zoo versions``: list and show."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from zoo_client.cli.commands import command, group
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.output import fields, state_text, table
from zoo_client.cli.repositories import (
    AllOption,
    CursorOption,
    DeletedOption,
    LimitOption,
    NameArgument,
    given,
    listed,
    more_note,
)
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.text import bytes_text, count_text, deletion_text, number_text, size_text, time_text, why_text
from zoo_client.records import FileRecord, Version
from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import VersionState

SEVERITIES = ("clean", "suspicious", "dangerous")
versions = group("List and show the versions of a model or data set.")


@command(versions, "list", "zoo versions vision/resnet50", "zoo versions list vision/resnet50 --state approved")
def list_command(
    context: typer.Context,
    name: NameArgument,
    *,
    state: Annotated[VersionState | None, typer.Option(help="Only in this state.")] = None,
    deleted: DeletedOption = False,
    kind: KindOption = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """List versions, newest first."""
    session = session_of(context)
    filters = given(state=state, deleted=deleted or None, limit=limit, cursor=cursor)
    with session.client() as client:
        source = client.repositories(kind_option(kind) or "models").versions
        try:
            page = source.list(name, **filters)
        except NotFound:
            if kind:
                raise
            source = client.datasets.versions
            page = source.list(name, **filters)
        page = listed(page, source.iterate(name, **filters) if everything else (), everything=everything)
    session.show(page, lambda: _table(page["results"]))
    if not session.as_json and more_note(page):
        session.note(more_note(page))


def _table(rows: list[Any]) -> RenderableType:
    columns = ("version", "state", "aliases", "artifacts", "size", "made", "notes")
    return table(
        columns,
        [
            (
                row["reference"],
                state_text(row["state"]),
                row.get("aliases", []),
                [item["format"] for item in row.get("artifacts", [])],
                size_text(row),
                time_text(row["created_at"]),
                row["notes"],
            )
            for row in rows
        ],
        right=("size",),
    )


@command(versions, "show", "zoo versions show vision/resnet50@production")
def show_command(context: typer.Context, ref: RefArgument, *, kind: KindOption = None) -> None:
    """Show a version: artifacts, files, strategy, parents, metrics and history."""
    session = session_of(context)
    with session.client() as client:
        versions_of_kind, version = client.find(ref, kind_option(kind))
        origin = versions_of_kind.origin(version["reference"])
    session.show({**version, "origin": origin}, *_sections(version), *_origin(origin))


def _origin(origin: Mapping[str, Any] | None) -> list[RenderableType]:
    """Where an imported version comes from."""
    if origin is None:
        return []
    pairs: list[tuple[str, object]] = [
        ("imported from", f"{origin['reference']} of {origin['registry']}"),
        ("its id there", origin["id"]),
        ("its digest there", origin["digest"]),
        ("signed there by", origin["key"] or "nobody"),
        ("vouched for by", origin["vouched_by"]),
        ("imported", f"{time_text(origin['imported_at'])} by {origin['imported_by']}"),
    ]
    return ["", fields(pairs)]


def version_facts(version: Version) -> list[tuple[str, object]]:
    """The main facts of a version, as pairs."""
    dataset = version["dataset"]
    return [
        ("version", version["reference"]),
        ("state", state_text(version["state"])),
        ("aliases", [f"@{name}" for name in version["aliases"]]),
        ("digest", version["digest"]),
        ("size", f"{size_text(version)} in {count_text(version['files'], 'file')}"),
        (
            "data set",
            f"{dataset['format']}, {len(dataset['classes'])} classes, {', '.join(dataset['splits'])}"
            if dataset
            else "",
        ),
        ("made", f"{time_text(version['created_at'])} by {version['created_by']}"),
        ("job", version["job"]),
        ("notes", version["notes"]),
        ("pinned", _pin_text(version.get("pin"))),
        ("deleted", deletion_text(version.get("deletion"))),
    ]


def _pin_text(pin: Any) -> str:
    return f"since {time_text(pin['at'])} by {pin['by']}{why_text(pin)}" if pin else ""


def _sections(version: Version) -> list[RenderableType]:
    sections: list[RenderableType] = [fields(version_facts(version))]
    parts: list[tuple[list[Any], RenderableType]] = [
        (version["artifacts"], _artifacts(version)),
        (_contradictions(version), table(("contradiction",), [(text,) for text in _contradictions(version)])),
        (version["files"], _files(version)),
        (version["strategy"], _strategy(version)),
        (version["parents"], _parents(version)),
        (version["metrics"], _metrics(version)),
        (version["state_changes"], _changes(version)),
    ]
    for rows, section in parts:
        if rows:
            sections += ["", section]
    return sections


def _artifacts(version: Version) -> RenderableType:
    rows = [
        (item["name"], item["format"], item["precision"], item["runtime"], bytes_text(item["size"]), item["files"])
        for item in version["artifacts"]
    ]
    return table(("artifact", "format", "precision", "runtime", "size", "files"), rows, right=("size",))


def _contradictions(version: Version) -> list[str]:
    """Where artifacts are declared otherwise than their files say."""
    return [text for item in version["artifacts"] for text in item.get("contradictions", [])]


def _files(version: Version) -> RenderableType:
    rows = [
        (
            item["path"],
            "" if item["size"] is None else bytes_text(item["size"]),
            f"{item['sha256'][:19]}…" if item["sha256"] else "",
            _network(item),
            _findings(item.get("findings", [])),
            _whereabouts(item),
        )
        for item in version["files"][:50]
    ]
    return table(("file", "size", "sha256", "what it is", "findings", "address"), rows, right=("size",))


def _whereabouts(file: FileRecord) -> str:
    """Where a remote file is, and whether its bytes are here as well."""
    address = file.get("address") or ""
    if not address or file.get("mirrored", True):
        return address
    mirror = file.get("mirror")
    state = f", {mirror['state']}{': ' + mirror['error'] if mirror['error'] else ''}" if mirror else ""
    return f"{address} (not mirrored{state})"


def _network(file: FileRecord) -> str:
    """The format of a file and the main facts of its network; `zoo inspect` tells the rest."""
    facts = file.get("facts") or {}
    count = f"{number_text(facts['parameters'])} parameters" if "parameters" in facts else ""
    return ", ".join(part for part in (file.get("format") or "", count, facts.get("precision", "")) if part)


def _findings(findings: list[Any]) -> str:
    """How many there are, and the worst."""
    worst = max(findings, key=lambda item: SEVERITIES.index(item["severity"]), default=None)
    return f"{len(findings)}: {worst['severity']}: {worst['reason']}" if worst else ""


def _strategy(version: Version) -> RenderableType:
    rows = [
        (item["kind"], item["method"], [f"{key}={value}" for key, value in item["parameters"].items()])
        for item in version["strategy"]
    ]
    return table(("strategy", "method", "parameters"), rows)


def _parents(version: Version) -> RenderableType:
    rows = [(item["role"], item["reference"] or item["external_uri"], item["weight"]) for item in version["parents"]]
    return table(("role", "parent", "weight"), rows)


def _metrics(version: Version) -> RenderableType:
    rows = [
        (
            item["name"],
            number_text(item["value"]),
            item["unit"],
            item["source"],
            item["dataset"],
            item["split"],
            item["runtime"],
        )
        for item in version["metrics"]
    ]
    return table(("metric", "value", "unit", "source", "data set", "split", "runtime"), rows, right=("value",))


def _changes(version: Version) -> RenderableType:
    rows = [
        (time_text(item["changed_at"]), item["before"], state_text(item["after"]), item["changed_by"], item["comment"])
        for item in version["state_changes"]
    ]
    return table(("when", "from", "to", "by", "comment"), rows)
