"""The worker's settings from the environment: read here and nowhere else."""

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from zoo_sdk.discovery import discover_operations
from zoo_sdk.environment import check_environment
from zoo_sdk.errors import InvalidInput
from zoo_worker.confinement import Wish
from zoo_worker.gpus import Gpu, own_gpus

DEFAULT_CACHE_GIB = 20.0
DEFAULT_SHARED_CACHE_GIB = 10.0
GRACE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What the worker takes from ``ZOO_*``; see :data:`zoo_sdk.environment.VARIABLES` for their meaning.

    ``gpus``: those that it gives to its attempts, each to one at a time.
    ``isolation``: whether operations are kept from network and files where the machine allows it.  ``user``: what the
    children of a root worker become.  ``grace_seconds``: how long a child may take to stop at a safe point before it is
    killed.
    """

    url: str
    token: str = field(repr=False)
    name: str
    state: Path
    cache_bytes: int
    shared_cache_bytes: int = int(DEFAULT_SHARED_CACHE_GIB * 2**30)
    queues: tuple[str, ...]
    gpus: tuple[Gpu, ...] = ()
    broker_url: str = field(repr=False)
    mlflow_tracking_uri: str | None = None
    image: str | None = None
    isolation: Wish = "auto"
    user: str | None = None
    grace_seconds: float = GRACE_SECONDS


def read_settings(environ: Mapping[str, str] = os.environ) -> WorkerSettings:
    """Parse and check the variables.

    Raises:
        UnknownName: a ``ZOO_*`` variable does not exist.
        InvalidInput: a value is wrong; names the variable.

    """
    check_environment(environ)
    gpus = own_gpus(environ)
    queues = _queues(environ, gpus)
    return WorkerSettings(
        url=environ.get("ZOO_URL", "http://127.0.0.1:8080").rstrip("/"),
        token=environ.get("ZOO_WORKER_TOKEN", ""),
        name=_name(environ, queues),
        state=Path(environ.get("ZOO_WORKER_STATE") or Path.home() / ".cache" / "zoo-worker").absolute(),
        cache_bytes=_bytes(environ, "ZOO_WORKER_CACHE_GIB", DEFAULT_CACHE_GIB),
        shared_cache_bytes=_bytes(environ, "ZOO_WORKER_SHARED_CACHE_GIB", DEFAULT_SHARED_CACHE_GIB),
        queues=queues,
        gpus=gpus,
        broker_url=environ.get("ZOO_BROKER_URL", "redis://127.0.0.1:6379/0"),
        mlflow_tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None,
        image=environ.get("ZOO_WORKER_IMAGE") or None,
        isolation=_isolation(environ),
        user=environ.get("ZOO_WORKER_USER") or None,
    )


def _isolation(environ: Mapping[str, str]) -> Wish:
    text = environ.get("ZOO_WORKER_ISOLATION", "auto")
    for wish in get_args(Wish):
        if text == wish:
            return cast("Wish", wish)
    raise InvalidInput(
        f"ZOO_WORKER_ISOLATION={text!r} is none of {', '.join(get_args(Wish))}.",
        facts={"field": "ZOO_WORKER_ISOLATION"},
    )


def _queues(environ: Mapping[str, str], gpus: Sequence[Gpu]) -> tuple[str, ...]:
    text = environ.get("ZOO_WORKER_QUEUES")
    if text is not None:
        queues = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        if not queues or any(not re.fullmatch(r"[a-z][a-z0-9_]*\.(cpu|gpu)", name) for name in queues):
            raise InvalidInput(
                f"ZOO_WORKER_QUEUES={text!r} is not a list of queues.",
                hint="Write plugin groups with .cpu or .gpu, separated by commas: torch.cpu,torch.gpu.",
                facts={"field": "ZOO_WORKER_QUEUES"},
            )
        return queues
    offered = {queue for spec in discover_operations().values() for queue in spec.manifest.queues}
    return tuple(sorted(name for name in offered if name.endswith(".cpu") or gpus))


def _name(environ: Mapping[str, str], queues: tuple[str, ...]) -> str:
    given = environ.get("ZOO_WORKER_NAME")
    if given is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,119}", given):
            raise InvalidInput(
                f"ZOO_WORKER_NAME={given!r} is not a name.",
                hint="Use letters, digits, '@', '.', '_' and '-', at most 120.",
                facts={"field": "ZOO_WORKER_NAME"},
            )
        return given
    groups = "-".join(dict.fromkeys(name.split(".", maxsplit=1)[0] for name in queues))
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-") or "worker"
    return (f"{groups}@{host}" if groups else host)[:120]


def _bytes(environ: Mapping[str, str], variable: str, default_gib: float) -> int:
    text = environ.get(variable)
    try:
        value = default_gib if text is None else float(text)
    except ValueError:
        value = 0
    if not 0 < value < 2**30:
        raise InvalidInput(f"{variable}={text!r} is not a positive number.", facts={"field": variable})
    return int(value * 2**30)
