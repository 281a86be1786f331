"""``zoo verify``, ``zoo sign`` and ``zoo keys``: what a folder is worth, and whom to believe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, group, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.output import fields, table
from zoo_client.cli.session import Session, kind_option, session_of
from zoo_client.cli.text import count_text, time_text
from zoo_client.errors import VerificationFailed
from zoo_client.pulling import read_manifest
from zoo_client.trust.store import TrustChange, TrustStore, read_key_file
from zoo_client.trust.verification import CHECKS, Report, verify_pulled
from zoo_sdk.errors import InvalidInput, NotFound

verify = single()
sign = single()
keys = group("Show and choose the signing keys that you trust.")
SHOWN = 20


@command(verify, "verify", "zoo verify ./model", "zoo verify ./model --key registry.pem", "zoo verify ./part --partial")
def verify_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder made by `zoo pull`.")],
    *,
    key: Annotated[
        list[Path] | None, typer.Option(help="Trust only this public key (a PEM file); may be repeated.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Files may be missing: only an artifact of the version was pulled.")
    ] = False,
    whole_chain: Annotated[
        bool, typer.Option("--whole-chain", help="Every ancestor must have its statement in the folder.")
    ] = False,
) -> None:
    """Check a pulled folder without the registry: files, signature, attestation and the chain of its ancestors.

    Exit code 1 and what is wrong if a byte was changed, a file added or removed, or a statement is not this version's.
    Trusted are the keys of registries that you pulled from (`zoo keys list`), or those of --key.
    """
    session = session_of(context)
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder.", hint="Write `zoo verify FOLDER`.")
    trusted = dict(map(read_key_file, key)) if key else TrustStore().trusted()
    if not trusted:
        raise InvalidInput(
            "No signing key is trusted yet, so nothing can be believed.",
            hint="Pull once from the registry, or name its public key: zoo verify FOLDER --key FILE.",
        )
    total = sum(file.size for file in read_manifest(folder).files)
    with session.bytes_bar(f"Verifying {folder}", total) as progress:
        report = verify_pulled(folder, trusted, partial=partial, progress=progress)
    for end in report.ancestry.loose_ends if whole_chain else ():
        report.add("chain", end.uri, f"({end.role} of {end.child}) has no statement in the folder")
    if not report.ok:
        first, more = report.findings[0], len(report.findings) - 1
        raise VerificationFailed(
            f"{folder} is not {report.manifest.reference} as it was signed: {first}"
            + (f", and {more} more." if more else "."),
            hint=f"`zoo pull {report.manifest.reference} NEW-FOLDER` fetches it anew.",
            facts=report_facts(report),
        )
    session.show(report_facts(report), lambda: fields(_report_rows(folder, report)))


def report_facts(report: Report) -> dict[str, Any]:
    """The outcome for scripts."""
    failed = {finding.check for finding in report.findings}
    return {
        "ok": report.ok,
        "reference": report.reference or report.manifest.reference,
        "registry": report.registry,
        "key": report.key,
        "checks": {name: name not in failed for name in CHECKS},
        "findings": [vars(finding) for finding in report.findings],
        "files": report.files,
        "missing": report.missing,
        "ancestors": report.ancestry.proven,
        "loose_ends": [vars(end) for end in report.ancestry.loose_ends],
        "external": report.ancestry.external,
    }


def _report_rows(folder: Path, report: Report) -> list[tuple[str, object]]:
    ancestry = report.ancestry
    chain = f"{count_text(ancestry.proven, 'ancestor')}: {', '.join(ancestry.proven[:SHOWN])}".removesuffix(": ")
    missing = f", {len(report.missing)} not pulled" if report.missing else ""
    return [
        ("verified", f"{folder} is {report.reference}"),
        ("files", f"{report.files} as they were signed, none added{missing}"),
        ("registry", report.registry),
        ("key", report.key),
        ("chain", chain),
        ("not shown", [f"{end.role} of {end.child}" for end in ancestry.loose_ends[:SHOWN]]),
        ("external", ancestry.external[:SHOWN]),
    ]


@command(sign, "sign", "zoo sign vision/resnet50@4")
def sign_command(context: typer.Context, ref: RefArgument, *, kind: KindOption = None) -> None:
    """Have the registry sign what a version lacks: its provenance and its model signature, with the present key.

    Sealed versions are signed by themselves within seconds; this is for whoever cannot wait, and for a new key.
    """
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        found = versions.attest(version["reference"])
    provenance, signature = found["provenance"], found["signature"]
    pairs = [
        ("version", found["reference"]),
        ("provenance", f"signed by {provenance['signatures'][0]['keyid']}" if provenance else "none: it is a draft"),
        (
            "signature",
            f"signed by {signature['verificationMaterial']['publicKey']['hint']}"
            if signature
            else "none: files are not mirrored, or there is none",
        ),
    ]
    session.show(found, lambda: fields(pairs))


@command(keys, "list", "zoo keys", "zoo keys list --offline")
def list_command(
    context: typer.Context,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Only what is known already.")] = False,
) -> None:
    """List the registry's keys with whether you trust each; learns of new and revoked ones unless --offline."""
    session, store = session_of(context), TrustStore()
    if offline:
        rows = [{"id": key, "state": "trusted", "registry": store.owner_of(key)} for key in store.trusted()]
        session.show(rows, lambda: table(("key", "registry"), [(row["id"], row["registry"]) for row in rows]))
        return
    with session.client() as client:
        published, url = client.keys(), client.api.url
    tell_trust(session, url, store.follow(url, published))
    trusted = store.trusted(url)
    found = [{**row, "trusted": row["id"] in trusted} for row in published]
    session.show(
        found,
        lambda: table(
            ("key", "state", "trusted", "made", "reason"),
            [
                (
                    row["id"],
                    row["state"],
                    "yes" if row["trusted"] else "no",
                    time_text(str(row["created_at"])),
                    row["revocation_reason"],
                )
                for row in found
            ],
        ),
    )


@command(keys, "trust", "zoo keys trust 9f86d081884c", "zoo keys trust --file registry.pem")
def trust_command(
    context: typer.Context,
    key: Annotated[
        str | None, typer.Argument(help="Id of a key that the registry publishes, or its beginning.")
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="A public key that you were given (PEM).")] = None,
) -> None:
    """Trust a key from now on: one that the registry publishes, or one in a file."""
    session, store = session_of(context), TrustStore()
    if (key is None) == (file is None):
        raise InvalidInput("Name a key, or a file with one.", hint="zoo keys trust ID, or zoo keys trust --file FILE.")
    if file is not None:
        identifier = store.trust("", read_key_file(file)[1])
    else:
        with session.client() as client:
            row = _published(client.keys(), str(key))
            identifier = store.trust(client.api.url, row["public_key"])
    session.show({"id": identifier, "trusted": True}, f"The key {identifier} is trusted from now on.")


@command(keys, "forget", "zoo keys forget 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
def forget_command(
    context: typer.Context, key: Annotated[str, typer.Argument(help="The whole id of the key.")]
) -> None:
    """Trust a key no longer."""
    TrustStore().forget(key)
    session_of(context).show({"id": key, "trusted": False}, f"The key {key} is trusted no longer.")


@command(keys, "export", "zoo keys export > registry.pem", "zoo keys export 9f86d081884c > old.pem")
def export_command(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="Id or its beginning (default: the present key).")] = None,
) -> None:
    """Print a public key of the registry in PEM format, for `model_signing verify key` and others."""
    session = session_of(context)
    with session.client() as client:
        row = _published(client.keys(), key)
    session.show(row, row["public_key"].rstrip("\n"))


def tell_trust(session: Session, url: str, change: TrustChange) -> None:
    """Say what was learnt of a registry's keys."""
    if change.first and change.added:
        session.note(
            f"Trusting the signing key {change.added[-1]} of {url} from now on; compare it with its operators."
        )
    for key in [] if change.first else change.added:
        session.note(f"{url} signs with the new key {key}, which the one that you trust vouches for.")
    for key in change.removed:
        session.note(f"{url} revoked the key {key}: it is trusted no longer.")
    for key in change.unknown:
        session.note(f"{url} shows the key {key}, which nothing vouches for. `zoo keys trust {key[:12]}` trusts it.")


def _published(rows: list[Any], key: str | None) -> Any:
    """The published key with an id or its beginning; by default the present one."""
    found = [row for row in rows if row["id"].startswith(key)] if key else [r for r in rows if r["state"] == "current"]
    if len(found) != 1:
        raise NotFound(
            f"The registry publishes {'no key' if not found else f'{len(found)} keys'} {key or ''!s}".rstrip() + ".",
            hint="`zoo keys list` shows them.",
        )
    return found[0]
