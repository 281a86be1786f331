"""``zoo admin``: the registry's own management commands, beside the Zoo that runs on this home."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo_onebox.home import Home
from zoo_onebox.registry import run_beside
from zoo_sdk.errors import InvalidInput

S3_VARIABLES = ("ZOO_S3_ENDPOINT_URL", "ZOO_S3_PUBLIC_URL", "ZOO_S3_BUCKET", "ZOO_S3_REGION")
"""The keys are inherited, never written down."""
HomeOption = Annotated[Path, typer.Option("--home", envvar="ZOO_HOME", help="Folder of data, logs and secrets.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]

admin = typer.Typer(help="Look after the registry of this machine's Zoo.", add_completion=False, no_args_is_help=True)


@admin.callback()
def root() -> None:
    """Look after the registry of this machine's Zoo.

    In containers the same is `python -m zoo_server COMMAND` in the service `web`.
    """


@admin.command("inspect")
def inspect_command(
    *,
    again: Annotated[bool, typer.Option("--again", help="Those whose inspection is of an older version.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All files.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many files.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Begin no further file after so long.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = Path(".zoo"),
) -> None:
    """Inspect stored files again; may be broken off, and goes on where it was."""
    if not (again or everything):
        raise InvalidInput("Which files?", hint="--again: those of an older inspector version; --all: all.")
    words = ["--all"] * everything + ["--json"] * as_json
    words += [] if limit is None else ["--limit", str(limit)]
    words += [] if seconds is None else ["--seconds", str(seconds)]
    _run(home, "inspect_again", *words)


store = typer.Typer(help="The store of files.", no_args_is_help=True)
admin.add_typer(store, name="store")


@store.command("migrate")
def migrate_command(
    *,
    to: Annotated[Literal["s3", "local"], typer.Option(help="Where the files are to be.")],
    verify: Annotated[bool, typer.Option("--verify", help="Read and hash again what is there already.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = Path(".zoo"),
) -> None:
    """Copy all files from this home's folder to the bucket of ZOO_S3_*, or back; may be broken off and repeated."""
    _run(home, "store_migrate", "--to", to, *["--verify"] * verify, *["--json"] * as_json, environ=S3_VARIABLES)


def _run(home: Path, *words: str, environ: Sequence[str] = ()) -> None:
    given = {name: os.environ[name] for name in environ if name in os.environ}
    code = run_beside(Home(home.expanduser().resolve()), *words, environ=given)
    if code:
        raise typer.Exit(code)
