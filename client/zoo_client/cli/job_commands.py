"""``zoo jobs``: list, show, watch, logs, cancel, retry."""

from typing import Annotated, Any

import typer
from rich.text import Text

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import fields, state_text, table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import Session, session_of
from zoo_client.cli.text import number_text, safe, time_text
from zoo_client.cli.watching import JobView
from zoo_client.client import Client
from zoo_client.jobs import raise_if_failed
from zoo_client.records import Job
from zoo_sdk.vocabulary import JobState

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]

jobs = group("List, watch, cancel and retry jobs.")


@command(jobs, "list", "zoo jobs", "zoo jobs list --state failed --operation torch.distill")
def list_command(
    context: typer.Context,
    *,
    state: Annotated[JobState | None, typer.Option(help="Only in this state.")] = None,
    operation: Annotated[str | None, typer.Option(help="Only of this operation.")] = None,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """List jobs, newest first."""
    session = session_of(context)
    filters = given(state=state, operation=operation, team=team, limit=limit, cursor=cursor)
    with session.client() as client:
        page = client.jobs.list(**filters) if not everything else {"results": [], "next": None}
        page = listed(page, client.jobs.iterate(**filters) if everything else (), everything=everything)
    rows = [
        (
            row["id"],
            row["operation"],
            state_text(row["state"]),
            _done(row),
            row["result"] or row["cause"],
            time_text(row["created_at"]),
        )
        for row in page["results"]
    ]
    session.show(
        page, lambda: table(("job", "operation", "state", "done", "result", "submitted"), rows, right=("done",))
    )
    if not session.as_json and more_note(page):
        session.note(more_note(page))


def _done(job: dict[str, Any]) -> str:
    progress = job.get("progress") or {}
    total = progress.get("total")
    return f"{100 * progress.get('done', 0) / total:.0f} %" if total else ""


@command(jobs, "show", "zoo jobs show 0198f0c2-...")
def show_command(context: typer.Context, job_id: JobArgument) -> None:
    """Show a job: inputs, parameters, progress, result or cause of failure."""
    session = session_of(context)
    with session.client() as client:
        job = client.jobs.show(job_id)
    session.show(job, lambda: fields(job_facts(job)))


def job_facts(job: Job) -> list[tuple[str, object]]:
    """The facts of a job, as pairs."""
    error = job.get("error") or {}
    inputs = [
        f"{item['port']}: {item['reference']}" + (f" ({item['weight']:g})" if item.get("weight") else "")
        for item in job["inputs"]
    ]
    return [
        ("job", job["id"]),
        ("operation", f"{job['operation']} (version {job['operation_version']})"),
        ("state", state_text(job["state"])),
        ("attempt", f"{job['attempt']} of {job['max_attempts']}" if job["attempt"] else ""),
        ("worker", job["owner"]),
        ("queue", job["queue"]),
        ("GPUs", job["gpus"] or ""),
        ("waiting for", Text(safe(job["waiting_for"]), style="yellow") if job.get("waiting_for") else ""),
        ("inputs", inputs),
        ("parameters", [f"{name}={value}" for name, value in job["params"].items()]),
        ("seed", str(job["seed"])),
        ("progress", _progress_text(job)),
        ("result", job["result"]),
        ("from the cache", f"of job {job['cached_from']}" if job.get("cached_from") else ""),
        ("cause", job["cause"]),
        ("error", error.get("message")),
        ("hint", error.get("hint")),
        ("MLflow", job["mlflow_url"] or job["mlflow_run_id"]),
        ("submitted", f"{time_text(job['created_at'])} by {job['created_by']}"),
        ("started", time_text(job["started_at"])),
        ("finished", time_text(job["finished_at"])),
    ]


def _progress_text(job: Job) -> str:
    progress = job.get("progress") or {}
    if not progress.get("total"):
        return ""
    done, total = number_text(progress["done"]), number_text(progress["total"])
    return f"{done} of {total} {progress.get('message', '')}".rstrip()


@command(jobs, "watch", "zoo jobs watch 0198f0c2-...")
def watch_command(context: typer.Context, job_id: JobArgument) -> None:
    """Follow a job to its end with progress, metrics and log lines; exit code 1 if it fails."""
    session = session_of(context)
    with session.client() as client:
        watch_job(session, client, job_id)


def watch_job(session: Session, client: Client, job_id: str) -> None:
    """Follow a job on standard error, then print it; raises :class:`JobFailed` if it did not succeed."""
    job: Any = None
    with JobView() as view:
        for item in client.jobs.watch(job_id):
            if "body" in item:
                view.event(item)
            else:
                job = item
                view.job(job)
    raise_if_failed(job)
    session.show(job, lambda: fields(job_facts(job)))


@command(jobs, "logs", "zoo jobs logs 0198f0c2-...")
def logs_command(context: typer.Context, job_id: JobArgument) -> None:
    """Print what a job has said so far."""
    session = session_of(context)
    with session.client() as client:
        events = list(client.jobs.events(job_id, kind="log"))
    lines = [Text(f"{event['time'][11:19]} {safe(event['body'].get('message', ''))}") for event in events]
    session.show({"results": events, "next": None}, *lines)


@command(jobs, "cancel", "zoo jobs cancel 0198f0c2-...")
def cancel_command(context: typer.Context, job_id: JobArgument) -> None:
    """Cancel a job; a running one stops at its next safe point."""
    session = session_of(context)
    with session.client() as client:
        job = client.jobs.cancel(job_id)
    session.show(job, lambda: fields(job_facts(job)))


@command(jobs, "retry", "zoo jobs retry 0198f0c2-...")
def retry_command(context: typer.Context, job_id: JobArgument) -> None:
    """Queue a failed or cancelled job again."""
    session = session_of(context)
    with session.client() as client:
        job = client.jobs.retry(job_id)
    session.show(job, lambda: fields(job_facts(job)))
