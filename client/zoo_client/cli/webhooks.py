"""``zoo webhook``: have an address told what happens in a team."""

from typing import Annotated, Any

import typer

from zoo_client.cli.administration import TeamArgument
from zoo_client.cli.commands import command, group
from zoo_client.cli.output import fields, table
from zoo_client.cli.repositories import CursorOption, LimitOption, given, more_note
from zoo_client.cli.session import session_of
from zoo_client.cli.text import time_text

webhook = group("Have an address told what happens in a team.")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the webhook, as `zoo webhook list` shows it.")]
EventOption = Annotated[
    list[str] | None, typer.Option("--event", help="A type (version.approved), a kind (job.*) or *; may be repeated.")
]


@command(webhook, "list", "zoo webhook list vision")
def list_command(context: typer.Context, team: TeamArgument) -> None:
    """List a team's webhooks."""
    session = session_of(context)
    with session.client() as client:
        rows = client.webhooks.list(team)
    session.show(
        rows,
        lambda: table(
            ("id", "address", "events", "active", "note"),
            [
                (
                    row["id"],
                    row["url"],
                    row["events"],
                    "yes" if row["active"] else "no",
                    row["closed_reason"] or row["description"],
                )
                for row in rows
            ],
        ),
    )


@command(
    webhook,
    "add",
    "zoo webhook add vision https://chat.example.org/zoo --event version.approved --event 'job.*'",
)
def add_command(
    context: typer.Context,
    team: TeamArgument,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to; https, unless it is in an allowed network.")],
    *,
    event: EventOption = None,
    description: Annotated[str, typer.Option(help="A word for people.")] = "",
) -> None:
    """Add a webhook.  Its secret is shown this once: the receiver checks signatures with it (Standard Webhooks)."""
    session = session_of(context)
    with session.client() as client:
        made = client.webhooks.create(team, url, event or ["*"], description)
    session.show(made, lambda: fields([(name, made[name]) for name in ("id", "url", "events", "secret")]))
    session.note("The secret is not shown again; `zoo webhook rotate` makes a new one.")


@command(webhook, "edit", "zoo webhook edit vision ID --event 'version.*'", "zoo webhook edit vision ID --inactive")
def edit_command(
    context: typer.Context,
    team: TeamArgument,
    identifier: IdArgument,
    *,
    url: Annotated[str | None, typer.Option(help="Another address.")] = None,
    event: EventOption = None,
    description: Annotated[str | None, typer.Option(help="Another word for people.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether anything is sent; what waits is kept.")
    ] = None,
) -> None:
    """Change a webhook."""
    session = session_of(context)
    changes = given(url=url, events=event, description=description, active=active)
    with session.client() as client:
        row = client.webhooks.update(team, identifier, **changes)
    session.show(row, lambda: fields([(name, row[name]) for name in ("id", "url", "events", "active", "description")]))


@command(webhook, "rotate", "zoo webhook rotate vision ID")
def rotate_command(context: typer.Context, team: TeamArgument, identifier: IdArgument) -> None:
    """Make a new secret, shown this once; messages carry both signatures until the former one ends."""
    session = session_of(context)
    with session.client() as client:
        made = client.webhooks.rotate(team, identifier)
    pairs = [("secret", made["secret"]), ("the former one signs until", time_text(made["former_until"]))]
    session.show(made, lambda: fields(pairs))


@command(webhook, "test", "zoo webhook test vision ID")
def test_command(context: typer.Context, team: TeamArgument, identifier: IdArgument) -> None:
    """Have a message of the type webhook.test sent; `zoo webhook deliveries` tells what came of it."""
    session = session_of(context)
    with session.client() as client:
        row = client.webhooks.test(team, identifier)
    session.show(row, f"{row['message']} is sent within seconds.")


@command(
    webhook,
    "deliveries",
    "zoo webhook deliveries vision ID --state failed",
    "zoo webhook deliveries vision ID --show D",
)
def deliveries_command(
    context: typer.Context,
    team: TeamArgument,
    identifier: IdArgument,
    *,
    state: Annotated[str | None, typer.Option(help="waiting, delivered or failed.")] = None,
    show: Annotated[str | None, typer.Option(metavar="DELIVERY", help="One message with its body and tries.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
) -> None:
    """Show the log of a webhook, newest first."""
    session = session_of(context)
    with session.client() as client:
        if show:
            row = client.webhooks.delivery(team, identifier, show)
            session.show(row, lambda: fields(_delivery_rows(row)))
            return
        page = client.webhooks.deliveries(team, identifier, **given(state=state, limit=limit, cursor=cursor))
    columns = ("id", "type", "state", "tries", "next try", "at")
    session.show(
        page,
        lambda: table(
            columns,
            [
                (
                    row["id"],
                    row["type"],
                    row["state"],
                    row["tries"],
                    time_text(row["due_at"] or ""),
                    time_text(row["created_at"]),
                )
                for row in page["results"]
            ],
        ),
    )
    if not session.as_json and more_note(page):
        session.note(more_note(page))


@command(webhook, "redeliver", "zoo webhook redeliver vision ID DELIVERY")
def redeliver_command(
    context: typer.Context,
    team: TeamArgument,
    identifier: IdArgument,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of the message in the log.")],
) -> None:
    """Send a message again, under the same id."""
    session = session_of(context)
    with session.client() as client:
        row = client.webhooks.redeliver(team, identifier, delivery)
    session.show(row, f"{row['message']} is sent again within seconds.")


@command(webhook, "remove", "zoo webhook remove vision ID")
def remove_command(context: typer.Context, team: TeamArgument, identifier: IdArgument) -> None:
    """Remove a webhook with its log."""
    session = session_of(context)
    with session.client() as client:
        client.webhooks.remove(team, identifier)
    session.show({"id": identifier, "removed": True}, f"The webhook {identifier} is removed.")


def _delivery_rows(row: dict[str, Any]) -> list[tuple[str, object]]:
    tries = [
        f"{time_text(item['at'])}: {item['error'] or item['status']} ({item['milliseconds']} ms)"
        for item in row["attempts"]
    ]
    return [(name, row[name]) for name in ("id", "message", "type", "state")] + [
        ("tries", tries),
        ("body", row["body"]),
    ]
