"""``zoo convert``: shows the path to another format, and goes along it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import RefArgument
from zoo_client.cli.output import fields, table
from zoo_client.cli.pipeline_commands import pipeline_sections, watch_pipeline
from zoo_client.cli.session import Session, session_of
from zoo_client.client import Client
from zoo_client.conversions import ConversionChoice
from zoo_client.parameters import typed_parameters
from zoo_client.records import ConversionPlan
from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import Precision

convert = single()
conversions = single()


@command(
    convert,
    "convert",
    "zoo convert vision/resnet50@3 --to openvino-ir --dry-run",
    "zoo convert vision/resnet50@3 --to openvino-ir --precision fp16 --option openvino.convert.parity_samples=64",
    "zoo convert vision/resnet50@3 --to openvino-ir --precision int8 --data vision/imagenet@1",
)
def convert_command(  # noqa: PLR0913  one option for each field of the request
    context: typer.Context,
    version: RefArgument,
    *,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Such as onnx, openvino-ir or torchscript.")],
    precision: Annotated[Precision | None, typer.Option(help="Of the result; default: the source's.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="OPERATION.NAME=VALUE", help="A parameter of an operation on the way."),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="REF", help="Data set for calibration and parity.")] = None,
    team: Annotated[str | None, typer.Option(help="Whose jobs and versions these are.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of that team that gets the versions.")] = None,
    cache: Annotated[Literal["use", "refresh", "off"], typer.Option(help="Whether equal results are taken.")] = "use",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show the path.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Start it and do not wait.")] = False,
) -> None:
    """Show the cheapest path to a format and why other edges cannot be taken; then go along it, and watch.

    Each step makes a version of its own.  Exit code 2 where no path is available.
    """
    session = session_of(context)
    with session.client() as client:
        choice: ConversionChoice = {
            "precision": precision.value if precision else None,
            "options": read_options(client, options),
            "data": data,
            "team": team,
            "model": model,
            "cache": cache,
        }
        found = client.conversions.plan(version, to, **choice)
        if dry_run or not found["found"] or not found["steps"]:
            _show_only(session, found)
            return
        if not session.as_json:
            session.show(found, *plan_sections(found))
        _run(session, client, found, choice, detach=detach)


@command(conversions, "conversions", "zoo conversions", "zoo conversions --json")
def conversions_command(context: typer.Context) -> None:
    """List every conversion that workers offer, with its cost, and why it cannot be done now where that is so."""
    session = session_of(context)
    with session.client() as client:
        edges = client.conversions.edges()
    rows = [
        (
            edge["operation"],
            f"{edge['source']} {'|'.join(edge['takes'])}".strip(),
            _target(edge),
            edge["cost"],
            [*(f"option {name}" for name in edge["asks"]), *edge["requires"]],
            "; ".join(edge["reasons"]) or "yes",
        )
        for edge in edges
    ]
    columns = ("operation", "from", "to", "cost", "needs", "available")
    session.show(edges, lambda: table(columns, rows, right=("cost",)))


def _show_only(session: Session, plan: ConversionPlan) -> None:
    """Print a plan; raises :class:`InvalidInput` where there is no path."""
    if plan["found"] or not session.as_json:
        session.show(plan, *plan_sections(plan))
    if not plan["found"]:
        hint = "Give what is missing, or start the workers that are." if plan["unavailable"] else ""
        raise InvalidInput(plan["problem"], hint=hint, facts={"unavailable": plan["unavailable"]})


def _run(session: Session, client: Client, plan: ConversionPlan, choice: ConversionChoice, *, detach: bool) -> None:
    """Start what the plan says, of the version that it named, and follow it."""
    pipeline = client.conversions.start(f"{plan['version']}{_path(plan)}", plan["to"], **choice)
    if detach:
        session.show(pipeline, *pipeline_sections(pipeline))
        return
    session.note(f"pipeline {pipeline['id']}")
    watch_pipeline(session, client, pipeline["id"])


def _path(plan: ConversionPlan) -> str:
    return f"#{plan['start']['artifact']}" if plan["start"] else ""


def read_options(client: Client, texts: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """``openvino.convert.parity_samples=64`` by operation, as the types that the operation's parameters have."""
    pairs: dict[str, list[str]] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        operation, dot, parameter = name.rpartition(".")
        if not (separator and dot and "." in operation and parameter):
            raise InvalidInput(
                f"--option {text!r} is not of the form operation.name=value.",
                hint="Write --option openvino.convert.parity_samples=64.",
            )
        pairs.setdefault(operation, []).append(f"{parameter}={value}")
    return {
        operation: typed_parameters(client.operations.manifest(operation).params_schema, given)
        for operation, given in pairs.items()
    }


def plan_sections(plan: ConversionPlan) -> list[RenderableType]:
    """The path as a table, what cannot be taken below it."""
    start = plan["start"]
    where = f"{plan['team']}/{plan['model']}" if plan["team"] else plan["model"]
    facts = [
        ("source", f"{plan['version']}: {start['artifact']}" if start else plan["version"]),
        ("makes", f"{len(plan['steps'])} versions of {where}" if len(plan["steps"]) > 1 else f"a version of {where}"),
        ("cost", plan["cost"]),
    ]
    sections: list[RenderableType] = []
    if plan["steps"]:
        sections += [fields(facts), "", _steps_table(plan["steps"])]
    elif start:
        sections.append(f"Nothing to do: {plan['version']} has {start['artifact']} ({start['format']}).")
    if plan["unavailable"]:
        sections += ["", "Edges that cannot be taken:", _unavailable_table(plan["unavailable"])]
    return sections


def _steps_table(steps: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            number,
            step["operation"],
            f"{step['source']} {step['source_precision']}",
            f"{step['target']} {step['target_precision']}",
            [f"{name}={value}" for name, value in step["params"].items()],
            step["cost"],
        )
        for number, step in enumerate(steps, 1)
    ]
    return table(("step", "operation", "from", "to", "parameters", "cost"), rows, right=("cost",))


def _unavailable_table(edges: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            edge["operation"],
            edge["source"],
            _target(edge),
            "; ".join(edge["reasons"]),
        )
        for edge in edges
    ]
    return table(("operation", "from", "to", "why not"), rows)


def _target(edge: Mapping[str, Any]) -> str:
    return f"{edge['target']} {edge['precision'] or ''}".strip()
