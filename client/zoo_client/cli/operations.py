"""``zoo operations`` and ``zoo workers``; the tables that ``zoo submit OP --help`` shows as well."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import cell, fields, table
from zoo_client.cli.session import session_of
from zoo_client.cli.text import time_text
from zoo_client.jobs import manifest_of
from zoo_client.parameters import allowed_text, default_text
from zoo_sdk.operations import OperationManifest, Port, Resources

operations = group("List operations; show their ports and parameters.")
workers = group("List the workers and what they are doing.")


@command(operations, "list", "zoo operations")
def list_command(context: typer.Context) -> None:
    """List the operations that workers have registered."""
    session = session_of(context)
    with session.client() as client:
        found = client.operations.list()
    rows = []
    for item in found:
        manifest = manifest_of(item)
        rows.append((manifest.name, manifest.version, "yes" if item.get("available") else "no", manifest.summary))
    session.show(
        {"results": found, "next": None},
        lambda: table(("operation", "version", "worker alive", "summary"), rows, right=("version",)),
    )


@command(operations, "show", "zoo operations show torch.distill")
def show_command(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="OPERATION", help="For example torch.distill.")]
) -> None:
    """Show an operation's input ports, parameters with defaults and bounds, and outputs."""
    session = session_of(context)
    with session.client() as client:
        found = client.operations.show(name)
    session.show(found, lambda: operation_help(manifest_of(found)))


def operation_help(manifest: OperationManifest) -> RenderableType:
    """Ports and parameters of an operation."""
    resources = manifest.resources
    facts = fields(
        [
            ("operation", f"{manifest.name} (version {manifest.version})"),
            ("", manifest.summary),
            ("queue", manifest.queue),
            ("needs", f"{resources.memory_gib:g} GiB"),
            ("GPUs", _gpus_text(resources)),
            ("deterministic", "yes: the same seed gives the same result" if manifest.deterministic else "no"),
        ]
    )
    ports = table(
        ("input", "takes", "how many", "formats", "meaning"),
        [(f"--{port.name}", port.kind, _count(port), port.formats, port.description) for port in manifest.inputs],
    )
    schema = manifest.params_schema
    parameters = table(
        ("parameter", "default", "allowed", "meaning"),
        [
            (name, default_text(name, field, schema), allowed_text(field, schema), cell(field.get("description", "")))
            for name, field in schema.get("properties", {}).items()
        ],
    )
    outputs = table(("output", "formats"), [(port.name, port.formats) for port in manifest.outputs])
    return Group(facts, "", ports, "", parameters, *(("", outputs) if manifest.outputs else ()))


def _gpus_text(resources: Resources) -> str:
    if resources.gpus == resources.max_gpus:
        return str(resources.gpus) if resources.gpus else "cannot use them"
    return f"{resources.gpus} to {resources.max_gpus}: --gpus N"


def _count(port: Port) -> str:
    text = ("one or more" if port.many else "one") if port.required else ("any number" if port.many else "optional")
    return f"{text}, REF=WEIGHT" if port.weighted else text


@command(workers, "list", "zoo workers")
def workers_command(context: typer.Context) -> None:
    """List the workers, their queues, and the jobs that they run."""
    session = session_of(context)
    with session.client() as client:
        found = client.workers.list()
    rows = [
        (
            item["name"],
            "alive" if item["alive"] else "away",
            item["queues"],
            item.get("isolation", ""),
            _counted(item.get("gpus") or ()),
            [job["operation"] for job in item.get("running", [])],
            time_text(item["last_seen_at"]),
        )
        for item in found
    ]
    session.show(
        {"results": found, "next": None},
        lambda: table(("worker", "state", "queues", "isolation", "GPUs", "running", "last seen"), rows),
    )


def _counted(names: Sequence[str]) -> list[str]:
    """``4 x NVIDIA H100``."""
    return [f"{count} x {name}" for name, count in Counter(names).items()]
