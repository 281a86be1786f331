"""``zoo pipelines``: list, show, watch, cancel, retry."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import fields, state_text, table
from zoo_client.cli.pipeline_view import PipelineView, steps_table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import Session, session_of
from zoo_client.cli.text import time_text
from zoo_client.client import Client
from zoo_client.pipelines import raise_if_pipeline_failed
from zoo_client.records import Pipeline
from zoo_sdk.vocabulary import PipelineState

PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline's id.")]

pipelines = group("List, watch, cancel and retry pipelines.")


@command(pipelines, "list", "zoo pipelines", "zoo pipelines list --state failed --name resnet50-distill")
def list_command(
    context: typer.Context,
    *,
    state: Annotated[PipelineState | None, typer.Option(help="Only in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only of the recipe with this name.")] = None,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """List pipelines, newest first."""
    session = session_of(context)
    filters = given(state=state, name=name, team=team, limit=limit, cursor=cursor)
    with session.client() as client:
        page = client.pipelines.list(**filters) if not everything else {"results": [], "next": None}
        page = listed(page, client.pipelines.iterate(**filters) if everything else (), everything=everything)
    rows = [
        (
            row["id"],
            row["name"],
            row["set"],
            state_text(row["state"]),
            counts_text(row["counts"]),
            time_text(row["created_at"]),
        )
        for row in page["results"]
    ]
    session.show(page, lambda: table(("pipeline", "recipe", "set", "state", "steps", "started"), rows))
    if not session.as_json and more_note(page):
        session.note(more_note(page))


def counts_text(counts: dict[str, int]) -> str:
    """``3 succeeded, 1 running``."""
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))


@command(pipelines, "show", "zoo pipelines show 0198f0c2-...")
def show_command(context: typer.Context, pipeline_id: PipelineArgument) -> None:
    """Show a pipeline: what it was filled in with, its steps, gates and results."""
    session = session_of(context)
    with session.client() as client:
        pipeline = client.pipelines.show(pipeline_id)
    session.show(pipeline, *pipeline_sections(pipeline))


def pipeline_facts(pipeline: Pipeline) -> list[tuple[str, object]]:
    """The facts of a pipeline, as pairs."""
    outputs = [
        f"{name}: {', '.join(output.get('versions') or ()) or output.get('model')}"
        for name, output in pipeline["outputs"].items()
    ]
    return [
        ("pipeline", pipeline["id"]),
        ("recipe", pipeline["name"] + (f" (set {pipeline['set']})" if pipeline["set"] else "")),
        ("state", state_text(pipeline["state"])),
        ("team", pipeline["team"]),
        ("inputs", [f"{name}: {reference}" for name, reference in pipeline["inputs"].items()]),
        ("values", [f"{name}={value}" for name, value in pipeline["values"].items()]),
        ("steps", counts_text(pipeline["counts"])),
        ("outputs", outputs),
        ("MLflow", pipeline["mlflow_url"] or pipeline["mlflow_run_id"]),
        ("started", f"{time_text(pipeline['started_at'])} by {pipeline['created_by']}"),
        ("finished", time_text(pipeline["finished_at"])),
    ]


def pipeline_sections(pipeline: Pipeline) -> list[RenderableType]:
    """A pipeline for people."""
    sections: list[RenderableType] = [fields(pipeline_facts(pipeline))]
    return [*sections, "", steps_table(pipeline["steps"])] if pipeline.get("steps") else sections


@command(pipelines, "watch", "zoo pipelines watch 0198f0c2-...")
def watch_command(context: typer.Context, pipeline_id: PipelineArgument) -> None:
    """Follow a pipeline to its end; exit code 1 if it fails or a gate stops it."""
    session = session_of(context)
    with session.client() as client:
        watch_pipeline(session, client, pipeline_id)


def watch_pipeline(session: Session, client: Client, pipeline_id: str) -> None:
    """Follow a pipeline on standard error, then print it; raises :class:`PipelineFailed` if it did not succeed."""
    pipeline: Any = None
    try:
        with PipelineView() as view:
            for pipeline in client.pipelines.watch(pipeline_id, on_silence=view.silence):
                view.show(pipeline)
    except KeyboardInterrupt:
        session.note(f"The pipeline goes on. `zoo pipelines watch {pipeline_id}` follows it, `cancel` stops it.")
        raise
    raise_if_pipeline_failed(pipeline)
    session.show(pipeline, *pipeline_sections(pipeline))


@command(pipelines, "cancel", "zoo pipelines cancel 0198f0c2-...")
def cancel_command(context: typer.Context, pipeline_id: PipelineArgument) -> None:
    """Cancel a pipeline; jobs that run stop at their next safe point."""
    session = session_of(context)
    with session.client() as client:
        pipeline = client.pipelines.cancel(pipeline_id)
    session.show(pipeline, *pipeline_sections(pipeline))


@command(pipelines, "retry", "zoo pipelines retry 0198f0c2-...", "zoo pipelines retry 0198f0c2-... --watch")
def retry_command(
    context: typer.Context,
    pipeline_id: PipelineArgument,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
) -> None:
    """Go on from what failed, was stopped or cancelled; what succeeded is kept."""
    session = session_of(context)
    with session.client() as client:
        pipeline = client.pipelines.retry(pipeline_id)
        if watch:
            watch_pipeline(session, client, pipeline_id)
        else:
            session.show(pipeline, *pipeline_sections(pipeline))
