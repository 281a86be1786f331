"""``zoo audit``: list and export events, sign checkpoints, verify the chain."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo_client.audit_files import read_checkpoints, write_csv, write_jsonl
from zoo_client.cli.commands import command, group
from zoo_client.cli.output import table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import session_of
from zoo_client.cli.text import count_text, time_text
from zoo_client.errors import VerificationFailed
from zoo_client.trust.store import TrustStore

EXPORT_PAGE = 200

audit = group("Read the audit log and verify its chain.")


@command(
    audit,
    "list",
    "zoo audit list --team vision --since 2026-11-01",
    "zoo audit list --object vision/resnet50@4 --all --json",
)
def list_command(  # noqa: PLR0913  one option for each filter of the route
    context: typer.Context,
    *,
    actor: Annotated[str | None, typer.Option(help="Who did it.")] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as version.approved.")] = None,
    object_type: Annotated[str | None, typer.Option(help="Kind of thing, such as version.")] = None,
    object_name: Annotated[str | None, typer.Option("--object", help="The thing, such as vision/resnet50@4.")] = None,
    team: Annotated[str | None, typer.Option(help="Only in this team.")] = None,
    since: Annotated[str | None, typer.Option(help="Not before this time (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (ISO 8601).")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """List events, newest first; needs the scope audit."""
    session = session_of(context)
    filters = given(
        actor=actor, action=action, object_type=object_type, object_name=object_name, team=team, since=since,
        until=until, limit=limit, cursor=cursor,
    )  # fmt: skip
    with session.client() as client:
        page = client.audit.list(**filters) if not everything else {"results": [], "next": None}
        page = listed(page, client.audit.iterate(**filters) if everything else (), everything=everything)
    rows = [
        (row["sequence"], time_text(row["time"]), row["actor"], row["action"], row["object_name"], row["team"])
        for row in page["results"]
    ]
    columns = ("no.", "time", "actor", "action", "object", "team")
    session.show(page, lambda: table(columns, rows, right=("no.",)))
    if not session.as_json and more_note(page):
        session.note(more_note(page))


@command(
    audit,
    "export",
    "zoo audit export --format csv --output audit.csv --since 2026-11-01",
    "zoo audit export --action 'version.*' --team vision > audit.jsonl",
)
def export_command(  # noqa: PLR0913  one option for each filter of the route
    context: typer.Context,
    *,
    export_format: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="JSON, one event a line, or a table.")
    ] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write into this file.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it.")] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as version.approved or version.*.")] = None,
    object_type: Annotated[str | None, typer.Option(help="Kind of thing, such as version.")] = None,
    object_name: Annotated[str | None, typer.Option("--object", help="The thing, such as vision/resnet50@4.")] = None,
    team: Annotated[str | None, typer.Option(help="Only in this team.")] = None,
    since: Annotated[str | None, typer.Option(help="Not before this time (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (ISO 8601).")] = None,
) -> None:
    """Write events as CSV or JSON lines, newest first, however many there are."""
    session = session_of(context)
    filters = given(
        actor=actor, action=action, object_type=object_type, object_name=object_name, team=team, since=since,
        until=until, limit=EXPORT_PAGE,
    )  # fmt: skip
    write = write_csv if export_format == "csv" else write_jsonl
    with session.client() as client:
        events = client.audit.iterate(**filters)
        if output is None:
            write(events, sys.stdout)
            return
        partial = output.with_name(f".{output.name}.part")
        with partial.open("w", encoding="utf-8", newline="") as file:
            count = write(events, file)
        partial.replace(output)
    session.show({"file": str(output), "events": count}, f"{count} events are in {output}.")


@command(
    audit,
    "checkpoint",
    "zoo audit checkpoint >> checkpoints.jsonl",
)
def checkpoint_command(context: typer.Context) -> None:
    """Print a signed checkpoint of the log as it is now: keep it where nobody who can change the log can change it."""
    session = session_of(context)
    with session.client() as client:
        made = client.audit.checkpoint()
    sys.stdout.write(json.dumps(made["envelope"]) + "\n")
    session.note(f"Link {made['sequence']}, {made['hash']}")


@command(
    audit, "verify", "zoo audit verify", "zoo audit verify --checkpoints checkpoints.jsonl", "zoo audit verify --json"
)
def verify_command(
    context: typer.Context,
    *,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Signed checkpoints: the log must be what it was then.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Have the registry recompute the whole chain; exit code 1 and the first broken row if it is not whole.

    Whoever can write the database can write the whole log anew, or cut its end off: --checkpoints shows that.
    """
    session = session_of(context)
    noted = read_checkpoints(checkpoints, TrustStore().trusted()) if checkpoints else {}
    with session.client() as client:
        found = client.audit.verify(noted)
    if not found["ok"]:
        broken = found["first_broken"] or {}
        raise VerificationFailed(
            f"The audit log was altered: row {broken.get('sequence')} (event {broken.get('event')}): "
            f"{broken.get('reason')}.",
            hint="Compare with a backup or an earlier checkpoint; the rows before it are as they were written.",
            facts=dict(found),
        )
    head = found["head"] or {}
    session.show(
        found,
        f"The audit log is whole: {found['checked']} of {found['events']} events checked"
        + (f", and as in {count_text(list(noted), 'checkpoint')}" if noted else "")
        + f"; the head is row {head.get('sequence')}, {head.get('hash')}.",
    )
