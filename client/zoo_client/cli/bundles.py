"""``zoo export`` and ``zoo import``: versions carried between registries in one file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from zoo_client.bundles.archive import Archive
from zoo_client.bundles.exporting import Exported, export_bundle
from zoo_client.bundles.importing import Checked, Wish, check_archive, import_archive, target_of, trusted_by
from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption
from zoo_client.cli.output import fields, table
from zoo_client.cli.session import Session, kind_option, session_of
from zoo_client.cli.text import bytes_text, count_text
from zoo_client.transfer.digests import Progress
from zoo_client.trust.store import TrustStore, read_key_file
from zoo_sdk.errors import InvalidInput

export = single()
import_ = single()


@command(
    export,
    "export",
    "zoo export vision/resnet50@4 -o resnet50.tar",
    "zoo export vision/resnet50@4 vision/resnet18@2 -o both.tar --no-ancestor-files",
)
def export_command(
    context: typer.Context,
    refs: Annotated[list[str], typer.Argument(metavar="VERSION...", help="Versions such as vision/resnet50@4.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write.")],
    ancestor_files: Annotated[
        bool, typer.Option("--ancestor-files/--no-ancestor-files", help="With the files of ancestors, or records only.")
    ] = True,
    kind: KindOption = None,
) -> None:
    """Write versions with everything that belongs to them into one file, for a registry without a network.

    Ancestors come along, with lineage, cards, metrics, reports, signatures, attestations and bills of materials.
    The file is an OCI image layout; the same versions in the same state give the same bytes.
    """
    session = session_of(context)
    with session.client() as client, ExitStack() as stack:
        made = export_bundle(
            client,
            refs,
            output,
            kind=kind_option(kind),
            ancestor_files=ancestor_files,
            on_size=lambda total: _bar(stack, session, f"Writing {output}", total),
        )
    for name in made.unsigned:
        session.note(f"Note: {name} carries no attestation; it is imported with --unsigned only.")
    session.show(_exported_facts(made), lambda: fields(_exported_rows(made)))


@command(
    import_,
    "import",
    "zoo import resnet50.tar --into vision",
    "zoo import resnet50.tar --as vision/resnet50-of-lab --key lab.pem",
    "zoo import resnet50.tar --check --key lab.pem",
)
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A bundle made by `zoo export`.")],
    *,
    into: Annotated[str | None, typer.Option(metavar="TEAM", help="The team that gets everything.")] = None,
    named: Annotated[
        str | None, typer.Option("--as", metavar="TEAM/NAME", help="Team, and the exported model's name there.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="The public key (PEM) of the registry that it comes from; may be repeated."),
    ] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Take versions that nobody signed.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the file, without any registry.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say what would be made; make nothing.")
    ] = False,
) -> None:
    """Check a bundle and make its versions here: digests, signatures, attestations, names, and then all or nothing.

    Without --key the keys that the registry trusts count (with --check: those of registries that you pulled from).
    Versions that are here already are left alone, and known bytes are not sent. Versions arrive as candidates:
    approval is each registry's own.
    """
    session = session_of(context)
    given = dict(map(read_key_file, key or ()))
    with Archive.open(file) as archive:
        if check:
            keys = given or TrustStore().trusted()
            checked = _checked(session, archive, keys, unsigned=unsigned)
            session.show(_checked_facts(checked), lambda: fields(_checked_rows(file, checked)))
            return
        with session.client() as client, ExitStack() as stack:
            keys = given or trusted_by(client)
            checked = _checked(session, archive, keys, unsigned=unsigned)
            team, name = target_of(checked, into, named)
            wish = Wish(team, name, [*given.values()], unsigned, dry_run)
            report = import_archive(
                client, archive, checked, wish, lambda total: _bar(stack, session, f"Sending to {team}", total)
            )
    session.show(report, lambda: _report_table(report))
    if report["ignored"]:
        session.note(f"Note: {report['ignored']} parts of a kind that the registry does not know were left out.")
    if dry_run:
        session.note(f"Nothing was made; {count_text(report['missing'], 'file')} would be sent.")


def _checked(session: Session, archive: Archive, keys: Any, *, unsigned: bool) -> Checked:
    if not keys and not unsigned:
        raise InvalidInput(
            "No signing key is trusted, so nothing in the bundle can be believed.",
            hint="Name the public key of the registry that it comes from: --key FILE.",
        )
    total = sum(size for _, size in archive.blobs.values())
    with session.bytes_bar(f"Checking {archive.path}", total) as progress:
        return check_archive(archive, keys, unsigned=unsigned, progress=progress)


def _bar(stack: ExitStack, session: Session, title: str, total: int) -> Progress:
    return stack.enter_context(session.bytes_bar(title, total))


def _exported_facts(made: Exported) -> dict[str, Any]:
    return {**vars(made), "path": str(made.path)}


def _exported_rows(made: Exported) -> list[tuple[str, object]]:
    return [
        ("bundle", f"{made.path}, {bytes_text(made.size)}"),
        ("index", made.digest),
        ("versions", made.roots),
        ("ancestors", made.ancestors),
        ("records only", made.records),
    ]


def _checked_facts(checked: Checked) -> dict[str, Any]:
    entries = checked.bundle.entries
    return {
        "ok": True,
        "format": checked.bundle.format,
        "registry": checked.bundle.index.registry,
        "versions": [entry.reference for entry in entries if entry.is_root],
        "ancestors": [entry.reference for entry in entries if not entry.is_root],
        "keys": checked.keys,
        "unsigned": checked.unsigned,
        "ignored": checked.bundle.ignored,
    }


def _checked_rows(file: Path, checked: Checked) -> list[tuple[str, object]]:
    facts = _checked_facts(checked)
    return [
        ("checked", f"{file}, {bytes_text(checked.size)}: every digest, signature and attestation is good"),
        *((name, facts[name]) for name in ("registry", "format", "versions", "ancestors", "keys", "unsigned")),
    ]


def _report_table(report: dict[str, Any]) -> RenderableType:
    rows = [
        (row["origin"], row["outcome"], row["reference"] or row["model"], (row["key"] or "nobody")[:16])
        for row in report["versions"]
    ]
    return table((f"version of {report['registry']}", "outcome", "here", "signed by"), rows)
