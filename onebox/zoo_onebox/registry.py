"""Runs a management command of the registry beside a running Zoo, with the environment that the Zoo gave its own."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_onebox.home import Home
from zoo_onebox.manager import launch_command
from zoo_sdk.errors import Conflict, OperationError

MODEL = "bootstrap"
"""The step whose environment is taken."""


def fresh_admin_token(home: Home) -> dict[str, Any]:
    """Another token for the administrator, by the right of whoever owns the home's files.

    Raises:
        Conflict: no Zoo runs on this home.
        OperationError: the registry refused; the message holds its words.

    """
    answer = _run(home, "admin-token", "bootstrap", "--json", "--new-admin-token")
    return {key: json.loads(answer.strip().splitlines()[-1])[key] for key in ("admin_user", "admin_token")}


def run_beside(home: Home, *words: str, environ: Mapping[str, str] | None = None) -> int:
    """Run a management command whose output is for whoever called us; answers its exit status.

    ``environ``: variables that it gets besides those of the running registry.

    Raises:
        Conflict: no Zoo runs on this home.

    """
    command = _command(home, f"admin-{os.getpid()}", *words, environ=environ)
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        Path(command[-1]).unlink(missing_ok=True)


def _run(home: Home, name: str, *words: str) -> str:
    done = subprocess.run(_command(home, name, *words), check=False, capture_output=True, text=True)
    if done.returncode:
        raise OperationError(f"The registry could not do it: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _command(home: Home, name: str, *words: str, environ: Mapping[str, str] | None = None) -> list[str]:
    try:
        specification = json.loads((home.specifications / f"{MODEL}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Conflict(f"No Zoo runs on {home.root}.", hint="Start it by `zoo up`.") from None
    python, module, package = specification["command"][:3]
    specification["command"] = [python, module, package, *words]
    specification["environment"] |= environ or {}
    path = home.specifications / f"{name}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(specification), encoding="utf-8")
    return launch_command(path)
