"""Finds the Zoo of this machine, or starts it, and a token for it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from zoo_client.credentials import LoginFile, config_folder, resolve
from zoo_onebox.home import Home
from zoo_onebox.serve import is_running
from zoo_sdk.errors import Unavailable


@dataclass(frozen=True)
class Service:
    """A running Zoo.  ``started``: this demo started it."""

    url: str
    token: str | None
    home: Path
    started: bool


def running_service(home: Path, *, port: int, mlflow_port: int) -> Service:
    """The Zoo of ``home``, started in the background if it does not run.

    The administrator's token of a fresh home is kept as by ``zoo login``, so that the command ``zoo`` works afterwards.

    Raises:
        Unavailable: it did not come up; the message holds what ``zoo up`` said.

    """
    place = Home(home.resolve())
    if is_running(place):
        url = str(place.read_note().get("url", ""))
        return Service(
            url=url, token=resolve(url, None).token or fresh_token(place.root), home=place.root, started=False
        )
    command = [sys.executable, "-m", "zoo_onebox", "up", "--detach", "--json", "--home", str(home)]
    command += ["--port", str(port), "--mlflow-port", str(mlflow_port)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable("The Zoo did not start.", hint="What went wrong stands above.")
    answer = json.loads(done.stdout)
    url, token = answer["url"], answer.get("admin_token")
    if token:
        LoginFile(config_folder(os.environ) / "login.json").keep(url, token)
    token = token or resolve(url, None).token or fresh_token(place.root)
    return Service(url=url, token=token, home=place.root, started=True)


def fresh_token(home: Path) -> str | None:
    """A new administrator's token, by the right of whoever owns the home's files."""
    command = [sys.executable, "-m", "zoo_onebox", "admin-token", "--home", str(home), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout)["admin_token"] if done.returncode == 0 else None
