"""``zoo pull``: fetch a version, or verify a folder that was fetched."""

from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption
from zoo_client.cli.session import Session, kind_option, session_of
from zoo_client.cli.text import bytes_text, count_text
from zoo_client.cli.trust import tell_trust
from zoo_client.errors import VerificationFailed
from zoo_client.pulling import read_manifest, verify_folder
from zoo_client.transfer.downloads import CONNECTIONS
from zoo_sdk.errors import InvalidInput

pull = single()


@command(
    pull,
    "pull",
    "zoo pull vision/resnet50@production ./model",
    "zoo pull vision/resnet50@4#model.onnx ./model",
    "zoo pull --verify ./model",
)
def pull_command(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="REF", help="team/name@3 or team/name@alias; with --verify a folder.")],
    folder: Annotated[Path | None, typer.Argument(help="Where to (default: <name>-<number>).")] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fetch nothing: check a folder against its manifest.")
    ] = False,
    connections: Annotated[
        int, typer.Option(min=1, max=16, help="Ranges of a large file fetched at once.")
    ] = CONNECTIONS,
    kind: KindOption = None,
) -> None:
    """Fetch a version's files, verify them, and write zoo-manifest.json beside them.

    Run it again after a break: it goes on where it was.  Files that are there already are not fetched again.
    """
    session = session_of(context)
    if verify:
        _verify(session, folder if folder is not None else Path(ref))
        return
    started = monotonic()
    with session.client() as client:
        _, version = client.find(ref, kind_option(kind))
        size = sum(file["size"] or 0 for file in version["files"]) if "#" not in ref else None
        with session.bytes_bar(f"Fetching {version['reference']}", size) as progress:
            pulled = client.pull(
                ref, folder, kind=kind_option(kind), connections=connections, progress=progress,
                on_trust=lambda change: tell_trust(session, client.api.url, change),
            )  # fmt: skip
    seconds = monotonic() - started
    manifest = pulled.manifest
    session.show(
        {
            "reference": manifest.reference,
            "digest": manifest.digest,
            "folder": str(pulled.folder),
            "files": [file.model_dump() for file in manifest.files],
            "fetched": pulled.fetched,
            "fetched_bytes": pulled.fetched_bytes,
            "seconds": round(seconds, 3),
        },
        f"{manifest.reference} is in {pulled.folder}: {count_text(manifest.files, 'file')}, every digest verified; "
        f"{pulled.fetched} fetched, {bytes_text(pulled.fetched_bytes)} in {seconds:.1f} s.",
    )


def _verify(session: Session, folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder.", hint="Write `zoo pull --verify FOLDER`.")
    total = sum(file.size for file in read_manifest(folder).files)
    with session.bytes_bar(f"Verifying {folder}", total) as progress:
        manifest, faults = verify_folder(folder, progress=progress)
    if faults:
        raise VerificationFailed(
            f"{folder} is not {manifest.reference}: {faults[0].path} {faults[0].reason}"
            + (f", and {len(faults) - 1} more." if len(faults) > 1 else "."),
            hint=f"`zoo pull {manifest.reference} {folder}` repairs it.",
            facts={"reference": manifest.reference, "faults": [vars(fault) for fault in faults]},
        )
    session.show(
        {"ok": True, "reference": manifest.reference, "digest": manifest.digest, "files": len(manifest.files)},
        f"{folder} is {manifest.reference}: {count_text(manifest.files, 'file')}, every digest right.",
    )
