"""``zoo delete``, ``restore``, ``pin``, ``unpin``: what is kept, and what may go."""

from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.output import fields
from zoo_client.cli.session import KindChoice, Session, kind_option, session_of
from zoo_client.cli.text import deletion_text
from zoo_client.cli.versions import version_facts
from zoo_client.client import Client
from zoo_client.repositories import Repositories
from zoo_sdk.errors import InvalidInput, NotFound
from zoo_sdk.names import Reference

ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept with it, and in the audit log.")]
ThingArgument = Annotated[
    str, typer.Argument(metavar="REF", help="team/name@3 or team/name@alias; team/name with --whole.")
]
WholeOption = Annotated[bool, typer.Option("--whole", help="The whole model or data set with all its versions.")]

delete, restore, pin, unpin = single(), single(), single(), single()


@command(
    delete,
    "delete",
    "zoo delete vision/resnet50@3 -m 'trained on the wrong labels'",
    "zoo delete vision/resnet50 --whole -m 'a duplicate of vision/resnet-50'",
)
def delete_command(
    context: typer.Context,
    ref: ThingArgument,
    *,
    reason: ReasonOption = "",
    whole: WholeOption = False,
    kind: KindOption = None,
) -> None:
    """Delete a version or a whole model; needs the role curator.

    It can be restored for some time (30 days, unless the operators chose otherwise). Then its files go, and what is
    left keeps the lineage whole. A draft goes at once.
    """
    session = session_of(context)
    _check(ref, whole=whole)
    with session.client() as client:
        if whole:
            _show_repository(session, _source(client, ref, kind).discard(ref, reason))
            return
        versions, version = client.find(ref, kind_option(kind))
        if version["state"] == "draft":
            versions.delete(version["reference"])
            session.show({"reference": version["reference"], "deleted": True})
            session.note(f"The draft {version['reference']} is gone.")
            return
        gone = versions.discard(version["reference"], reason)
    session.show(gone, lambda: fields(version_facts(gone)))


@command(restore, "restore", "zoo restore vision/resnet50@3", "zoo restore vision/resnet50 --whole")
def restore_command(
    context: typer.Context, ref: ThingArgument, *, whole: WholeOption = False, kind: KindOption = None
) -> None:
    """Take a deletion back, while there is time; needs the role curator."""
    session = session_of(context)
    _check(ref, whole=whole)
    with session.client() as client:
        if whole:
            _show_repository(session, _source(client, ref, kind).restore(ref))
            return
        versions, version = client.find(ref, kind_option(kind))
        back = versions.restore(version["reference"])
    session.show(back, lambda: fields(version_facts(back)))


@command(pin, "pin", "zoo pin vision/resnet50@3 -m 'in our paper of 2026'")
def pin_command(context: typer.Context, ref: RefArgument, reason: ReasonOption = "", kind: KindOption = None) -> None:
    """Keep a version: it cannot be deleted, by nobody and no retention policy, until it is unpinned."""
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        kept = versions.pin(version["reference"], reason)
    session.show(kept, lambda: fields(version_facts(kept)))


@command(unpin, "unpin", "zoo unpin vision/resnet50@3")
def unpin_command(context: typer.Context, ref: RefArgument, kind: KindOption = None) -> None:
    """Keep a version no longer."""
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        versions.unpin(version["reference"])
    session.show({"reference": version["reference"], "pinned": False})
    session.note(f"{version['reference']} is not pinned any more.")


def _check(ref: str, *, whole: bool) -> None:
    """Nobody deletes the newest version, or everything, because a word was left out."""
    parsed = Reference.parse(ref)
    if whole == (parsed.selector is not None):
        name = f"{parsed.team}/{parsed.name}"
        raise InvalidInput(
            f"{ref} names {'a version' if whole else 'no version'}.",
            hint=f"Write {name}@NUMBER for one version, or {name} --whole for everything.",
        )


def _source(client: Client, name: str, kind: KindChoice | None) -> Repositories:
    """Models or data sets, wherever that name is; a model first."""
    if kind is not None:
        return client.repositories(kind_option(kind))
    try:
        client.models.show(name)
    except NotFound:
        return client.datasets
    return client.models


def _show_repository(session: Session, found: Any) -> None:
    pairs = [("name", found["full_name"]), ("deleted", deletion_text(found["deletion"]) or "no")]
    session.show(found, lambda: fields(pairs))
