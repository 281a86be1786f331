"""``zoo reproduce``: run a version's job again, and compare the results."""

from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import RefArgument
from zoo_client.cli.output import fields, table
from zoo_client.cli.session import session_of
from zoo_client.cli.text import number_text
from zoo_client.errors import VerificationFailed
from zoo_client.records import Job, JobEvent
from zoo_client.reproduction import Reproduction
from zoo_client.reproduction import reproduce as run_again

reproduce = single()
SHOWN = 10


@command(
    reproduce,
    "reproduce",
    "zoo reproduce vision/resnet50-slim@3",
    "zoo reproduce vision/resnet50-slim@3 --tolerance 0.01 --into vision/check",
)
def reproduce_command(
    context: typer.Context,
    ref: RefArgument,
    *,
    into: Annotated[
        str | None, typer.Option(metavar="TEAM/NAME", help="Model that takes the result (default: NAME-reproduced).")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="By how much of its value a metric may differ, such as 0.01.")
    ] = 0.0,
) -> None:
    """Run the job that made a version again, with its recorded inputs, parameters and seed, and compare.

    Exit code 0 if every file is the same, byte for byte, or else if every metric that was measured again is within the
    tolerance; 1 if not.  The new version stays in the model that --into names.
    """
    session = session_of(context)

    def say(event: JobEvent) -> None:
        if event["kind"] == "log":
            session.note(str(event["body"].get("message", "")))

    def tell(job: Job) -> None:
        session.note(f"Job {job['id']} ({job['operation']}) is queued on {job['queue']}.")

    with session.client() as client:
        found = run_again(client, ref, into=into, tolerance=tolerance, on_event=say, on_job=tell)
    if not found.agrees:
        raise VerificationFailed(
            f"{found.again['reference']} is no reproduction of {found.original['reference']}: {_why_not(found)}.",
            hint="Compare the environments: " + "; ".join(found.environment[:SHOWN])
            if found.environment
            else "The environments are the same: is the operation deterministic?",
            facts=_facts(found),
        )
    session.show(_facts(found), lambda: fields(_rows(found)), lambda: _metrics(found))


def _why_not(found: Reproduction) -> str:
    files = f"{len(found.differing)} files differ ({', '.join(found.differing[:SHOWN])})"
    if not found.metrics:
        return f"{files}, and no metric was measured that could be compared"
    wrong = [item for item in found.metrics if not item.agrees]
    texts = [
        f"{item.name} is {'not measured' if item.again is None else number_text(item.again)}, "
        f"was {number_text(item.first)}"
        for item in wrong[:SHOWN]
    ]
    return f"{files}, and {'; '.join(texts)}"


def _rows(found: Reproduction) -> list[tuple[str, object]]:
    outcome = "every file is the same, byte for byte" if found.identical else "every metric is within the tolerance"
    return [
        ("reproduced", f"{found.original['reference']} as {found.again['reference']}"),
        ("outcome", outcome),
        ("job", found.job["id"]),
        ("differing", found.differing[:SHOWN]),
        ("environment", found.environment[:SHOWN] or "the same"),
    ]


def _metrics(found: Reproduction) -> Any:
    rows = [
        (item.name, item.where, number_text(item.first), "" if item.again is None else number_text(item.again))
        for item in found.metrics
    ]
    return table(("metric", "where", "first", "again"), rows, right=("first", "again")) if rows else ""


def _facts(found: Reproduction) -> dict[str, Any]:
    return {
        "reproduced": found.agrees,
        "identical": found.identical,
        "original": found.original["reference"],
        "again": found.again["reference"],
        "job": found.job["id"],
        "differing": found.differing,
        "metrics": [vars(item) | {"agrees": item.agrees} for item in found.metrics],
        "environment": found.environment,
    }
