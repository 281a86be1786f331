"""``zoo inspect``: what the files of a version, or files on this machine, are; nothing is executed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption
from zoo_client.cli.output import fields, table
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.text import bytes_text, number_text, safe
from zoo_sdk.errors import NotFound

if TYPE_CHECKING:
    from zoo_client.client import Client
    from zoo_client.repositories import Versions

MOST_FILES = 20
MOST_OF_PAGE = 200
SEVERITY_STYLES = {"clean": "green", "suspicious": "yellow", "dangerous": "bold red"}
VERSIONS = ("opsets", "ir_version", "keras_version", "tensorflow_version", "archive_version", "serialization_version")
"""Facts that say for which version of its format or framework a file was written."""
TableName = Literal["layers", "weights"]

inspect = single()


@command(
    inspect,
    "inspect",
    "zoo inspect vision/resnet50@3",
    "zoo inspect vision/resnet50@3 --path model.onnx --rows 200",
    "zoo inspect ./downloaded.pth",
)
def inspect_command(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(metavar="VERSION|FILE...", help="Versions, or files on this machine.")
    ],
    *,
    path: Annotated[str | None, typer.Option(help="Only this file of the version.")] = None,
    rows: Annotated[int, typer.Option(min=0, max=500, help="Rows of the table to show.")] = 20,
    table_name: Annotated[
        TableName | None, typer.Option("--table", help="Which table (default: layers, else weights).")
    ] = None,
    kind: KindOption = None,
) -> None:
    """Say what model files are: inputs, outputs, parameters, precision, versions, layers, and dangers.

    A file on this machine is inspected here, without a registry, by the rules that the registry applies to uploads;
    nothing in it is loaded or executed.
    """
    session = session_of(context)
    look = _Look(path, rows, table_name)
    found: list[dict[str, Any]] = []
    for target in targets:
        if Path(target).is_file():
            found.append(look.here(Path(target)))
        elif _means_a_file(target):
            raise NotFound(f"There is no file {target}.", hint="Check the path, or write TEAM/NAME@3 for a version.")
        else:
            with session.client() as client:
                found += look.there(client, target, kind_option(kind))
    session.show({"results": found, "next": None}, *_pages(found))


def _means_a_file(target: str) -> bool:
    return target.startswith((".", "/", "~")) or target.count("/") != 1


@dataclass(frozen=True)
class _Look:
    """What is asked about each target."""

    path: str | None
    rows: int
    table: TableName | None

    def here(self, path: Path) -> dict[str, Any]:
        """A file on this machine."""
        from zoo_client.inspecting import inspect_file

        told, tables = inspect_file(path)
        name = self._chosen(told["facts"] or {})
        table = tables.get(name or "")
        short = {"name": name, **table, "rows": table["rows"][: self.rows]} if table and self.rows else None
        return {"reference": None, **told, "table": short}

    def there(self, client: "Client", target: str, kind: Any) -> Iterator[dict[str, Any]]:
        """The files of a version that say something: those with facts or findings, or the one that is asked for."""
        versions, version = client.find(target, kind)
        reference = version["reference"]
        if self.path:
            paths = [self.path]
        else:
            telling = [file["path"] for file in version["files"] if file.get("facts") or file.get("findings")]
            paths = telling[:MOST_FILES] or [file["path"] for file in version["files"]][:1]
        for path in paths:
            told = versions.inspection(reference, path)
            name = self._chosen(told["facts"] or {})
            table = _rows_of(versions, reference, path, name, self.rows) if name and self.rows else None
            yield {"reference": reference, **told, "table": table}

    def _chosen(self, facts: dict[str, Any]) -> str | None:
        wanted = [self.table] if self.table else ["layers", "weights"]
        return next((name for name in wanted if name in facts), None)


def _rows_of(versions: "Versions", reference: str, path: str, name: str, wanted: int) -> dict[str, Any]:
    """The first rows of a table, in as many pages as they need."""
    rows: list[list[Any]] = []
    cursor: str | None = None
    while True:
        page = versions.fact_table(reference, path, name, limit=min(wanted - len(rows), MOST_OF_PAGE), cursor=cursor)
        rows += page["results"]
        cursor = page["next"]
        if cursor is None or len(rows) >= wanted:
            return {"name": name, "count": page["count"], "columns": page["columns"], "rows": rows}


def _pages(found: list[dict[str, Any]]) -> Iterator[RenderableType]:
    for number, told in enumerate(found):
        if number:
            yield ""
        yield fields(inspection_facts(told))
        for side in ("inputs", "outputs"):
            if ports := (told["facts"] or {}).get(side):
                yield ""
                yield _ports(side.removesuffix("s"), ports)
        if told["findings"]:
            yield ""
            rows = [(severity_text(item["severity"]), item["reason"]) for item in told["findings"]]
            yield table(("finding", "reason"), rows)
        if told["table"] and told["table"]["rows"]:
            yield ""
            yield _table_of(told["table"])


def inspection_facts(told: dict[str, Any]) -> list[tuple[str, object]]:
    """The main facts of an inspection, as pairs."""
    facts = told["facts"] or {}
    version = [
        f"{name.removesuffix('_version').replace('_', ' ')} {_plain(facts[name])}"
        for name in VERSIONS
        if facts.get(name)
    ]
    counts = [f"{facts[name]['count']} {name}" for name in ("layers", "weights") if name in facts]
    return [
        ("file", f"{told['reference']} {told['path']}" if told["reference"] else told["path"]),
        ("format", told["format"]),
        ("size", "" if told["size"] is None else bytes_text(told["size"])),
        ("judgement", severity_text(told["severity"]) if told["severity"] else "no findings"),
        ("parameters", number_text(facts["parameters"]) if "parameters" in facts else ""),
        ("precision", facts.get("precision", "")),
        ("dtypes", facts.get("dtypes", "")),
        ("written for", version),
        ("producer", facts.get("producer", "")),
        ("tables", counts),
        (
            "contradictions",
            Text(safe("\n".join(told["contradictions"])), style="yellow") if told["contradictions"] else "",
        ),
        ("inspected by", f"rules {told['inspector']}" if told["inspector"] else "rules from before they were numbered"),
    ]


def severity_text(severity: str) -> Text:
    """A severity in its colour."""
    return Text(safe(severity), style=SEVERITY_STYLES.get(severity, ""))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name or 'ai.onnx'} {number}" for name, number in value.items())
    return str(value)


def _ports(side: str, ports: list[dict[str, Any]]) -> RenderableType:
    rows = [
        (
            port["name"],
            port["dtype"],
            ""
            if port["shape"] is None
            else " x ".join("?" if length is None else str(length) for length in port["shape"]),
            port["layout"],
        )
        for port in ports
    ]
    return table((side, "dtype", "shape", "layout"), rows)


def _table_of(told: dict[str, Any]) -> RenderableType:
    rows = [[_plain(value) if value is not None else "" for value in row] for row in told["rows"]]
    title = f"{told['name']} ({len(rows)} of {told['count']})"
    return table((title, *told["columns"][1:]), rows)
