"""``zoo audit``: list events, verify the chain."""

from typing import Annotated

import typer

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import session_of
from zoo_client.cli.text import time_text
from zoo_client.errors import VerificationFailed

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


@command(audit, "verify", "zoo audit verify", "zoo audit verify --json")
def verify_command(context: typer.Context) -> None:
    """Have the registry recompute the whole chain; exit code 1 and the first broken row if it is not whole."""
    session = session_of(context)
    with session.client() as client:
        found = client.audit.verify()
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
        f"The audit log is whole: {found['checked']} of {found['events']} events checked; "
        f"the head is row {head.get('sequence')}, {head.get('hash')}.",
    )
