"""``zoo seal``, ``approve``, ``deprecate``, ``withdraw``: a version's way through its states."""

from typing import Annotated

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.output import fields
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.versions import version_facts

CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why; kept in the version's history.")]

seal, approve, deprecate, withdraw = single(), single(), single(), single()


def _move(context: typer.Context, ref: str, action: str, comment: str, kind: KindOption) -> None:
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        moved = getattr(versions, action)(version["reference"], comment)
    session.show(moved, lambda: fields(version_facts(moved)))


@command(seal, "seal", "zoo seal vision/resnet50@4")
def seal_command(
    context: typer.Context, ref: RefArgument, comment: CommentOption = "", kind: KindOption = None
) -> None:
    """Make a draft a candidate.  From then on its files, lineage and strategy cannot change."""
    _move(context, ref, "seal", comment, kind)


@command(approve, "approve", "zoo approve vision/resnet50@4 -m 'within half a point of its teacher'")
def approve_command(
    context: typer.Context, ref: RefArgument, comment: CommentOption = "", kind: KindOption = None
) -> None:
    """Approve a candidate; needs the role curator."""
    _move(context, ref, "approve", comment, kind)


@command(deprecate, "deprecate", "zoo deprecate vision/resnet50@3 -m 'use version 4'")
def deprecate_command(
    context: typer.Context, ref: RefArgument, comment: CommentOption = "", kind: KindOption = None
) -> None:
    """Mark an approved version as no longer recommended; it can still be fetched."""
    _move(context, ref, "deprecate", comment, kind)


@command(withdraw, "withdraw", "zoo withdraw vision/resnet50@2 -m 'trained on leaked test images'")
def withdraw_command(
    context: typer.Context, ref: RefArgument, comment: CommentOption = "", kind: KindOption = None
) -> None:
    """Take a version back: its files cannot be fetched any more, its history stays."""
    _move(context, ref, "withdraw", comment, kind)
