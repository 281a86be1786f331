"""The commands `zoo up`, `zoo down` and `zoo status`."""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zoo_onebox.detach import detach
from zoo_onebox.home import Home
from zoo_onebox.manager import Manager
from zoo_onebox.parts import Options
from zoo_onebox.registry import fresh_admin_token
from zoo_onebox.serve import Announcement, is_running, serve
from zoo_sdk.environment import check_environment
from zoo_sdk.errors import Conflict, Unavailable

EXIT_NOT_RUNNING = 5
"""The code of the `zoo` command for: no registry answers."""

HomeOption = Annotated[Path, typer.Option("--home", envvar="ZOO_HOME", help="Folder of data, logs and secrets.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object to standard output, progress to standard error.")
]


def up(
    *,
    home: HomeOption = Path(".zoo"),
    host: Annotated[str, typer.Option(help="Address that the web server listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the web server; 0: any free one.")] = 8080,
    mlflow_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of MLflow; 0: any free one.")] = 5000,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Run a worker per installed plugin group.")
    ] = True,
    detached: Annotated[
        bool, typer.Option("--detach", help="Return when the Zoo is ready; it goes on running.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a whole Zoo on this machine: PostgreSQL, Valkey, MLflow, the registry and its workers."""
    check_environment(os.environ)
    place = Home.create(home)
    background = detach() if detached else None
    announcement = Announcement(
        Console(stderr=as_json, highlight=False), as_json=as_json, ready=background.ready if background else _stay
    )
    serve(place, Options(host=host, port=port, mlflow_port=mlflow_port, workers=workers), announcement)


def down(
    home: HomeOption = Path(".zoo"),
    seconds: Annotated[float, typer.Option(min=1, help="How long to wait for it to end.")] = 120,
) -> None:
    """Stop the Zoo that runs on this home, and wait until it has ended."""
    console = Console(highlight=False)
    place = Home(home.expanduser().resolve())
    if not is_running(place):
        console.print(f"No Zoo runs on {place.root}.", markup=False, soft_wrap=True)
        return
    number = place.read_note().get("pid")
    if number is None:
        raise Conflict(f"The Zoo on {place.root} is just starting.", hint="Try again in a moment.")
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_running(place):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Process {number} still runs after {seconds:.0f} s.", hint=f"See {place.logs / 'zoo.log'}."
            )
        time.sleep(0.1)
    console.print("The Zoo has stopped.")


def status(*, home: HomeOption = Path(".zoo"), as_json: JsonOption = False) -> None:
    """Show the parts of the Zoo that runs on this home; exit status 5 when none runs."""
    console = Console(highlight=False)
    place = Home(home.expanduser().resolve())
    note = place.read_note() if is_running(place) else {}
    parts = _parts(place, note)
    if as_json:
        keys = ("url", "mlflow_url", "pid", "state", "pids")
        sys.stdout.write(
            json.dumps({"running": bool(note)} | {key: note[key] for key in keys if key in note} | {"parts": parts})
            + "\n"
        )
    elif note:
        console.print(
            f"Zoo at {note.get('url', '?')}, MLflow at {note.get('mlflow_url', '?')}: {note.get('state')}", markup=False
        )
        table = Table("part", "state", "process", "since")
        for name, part in parts.items():
            since = time.strftime("%d %b %H:%M:%S", time.localtime(part["since"])) if part["pid"] else ""
            table.add_row(name, part["state"], str(part["pid"] or ""), since)
        console.print(table)
    else:
        console.print(f"No Zoo runs on {place.root}. Start it by: zoo up", markup=False, soft_wrap=True)
    if not note:
        raise typer.Exit(EXIT_NOT_RUNNING)


def admin_token(*, home: HomeOption = Path(".zoo"), as_json: JsonOption = False) -> None:
    """Make and print another token for the administrator of the Zoo that runs on this home."""
    made = fresh_admin_token(Home(home.expanduser().resolve()))
    sys.stdout.write(f"{json.dumps(made) if as_json else made['admin_token']}\n")


def _parts(home: Home, note: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if "sockets" not in note:
        return {}
    with suppress(OSError):
        states = Manager(home, Path(note["sockets"])).states()
        ready = note.get("ready", [])
        return {
            # The manager calls a program started after ten seconds; we have asked it whether it is ready.
            name: {
                "state": "ready" if item.pid and name in ready else item.state.lower(),
                "pid": item.pid,
                "since": item.started,
            }
            for name, item in states.items()
        }
    return {}


def _stay() -> None:
    """Nothing to do when ready: the command goes on in the foreground."""
