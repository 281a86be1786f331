"""The server's settings from the environment: read here and nowhere else."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from zoo_sdk.environment import check_environment
from zoo_sdk.errors import InvalidInput

CATALOGUES = Path(__file__).parents[2] / "catalogs"
MIRROR_HOSTS = (
    "adlik-models.oss-cn-beijing.aliyuncs.com,adlik-yolov5.oss-cn-beijing.aliyuncs.com,"
    "github.com,*.githubusercontent.com,huggingface.co,*.huggingface.co,*.hf.co"
)
"""Where the files of the catalogues in ``catalogs/`` are, and where those hosts redirect to."""


@dataclass(frozen=True)
class Environment:
    """What the server takes from ``ZOO_*``; see :data:`zoo_sdk.environment.VARIABLES` for their meaning."""

    database: dict[str, Any]
    broker_url: str
    secret_key: str
    allowed_hosts: list[str]
    public_url: str
    store_dir: Path
    store_quota_bytes: int | None
    signing_keys_dir: Path
    mlflow_tracking_uri: str | None
    lease_seconds: int
    catalogues_dir: Path
    mirror_hosts: list[str]
    mirror_networks: list[str]
    mirror_limit_bytes: int
    debug: bool


def read_environment(environ: Mapping[str, str] = os.environ) -> Environment:
    """Parse and check the variables; raises :class:`zoo_sdk.errors.InvalidInput` that names the wrong one."""
    check_environment(environ)
    _refuse_s3(environ)
    debug = environ.get("ZOO_DEBUG") == "1"
    home = Path(environ.get("ZOO_HOME", ".zoo")).absolute()
    quota = environ.get("ZOO_STORE_QUOTA_GIB")
    return Environment(
        database=_database(environ.get("ZOO_DATABASE_URL", "postgresql://127.0.0.1:5432/zoo")),
        broker_url=environ.get("ZOO_BROKER_URL", "redis://127.0.0.1:6379/0"),
        secret_key=environ.get("ZOO_SECRET_KEY") or "not-secret: only for commands that answer no request",
        allowed_hosts=environ.get("ZOO_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(","),
        public_url=environ.get("ZOO_URL", "http://127.0.0.1:8080").rstrip("/"),
        store_dir=Path(environ.get("ZOO_STORE_DIR", home / "store")),
        store_quota_bytes=int(_number(environ, "ZOO_STORE_QUOTA_GIB", 0) * 2**30) if quota else None,
        signing_keys_dir=Path(environ.get("ZOO_SIGNING_KEYS_DIR", home / "secrets" / "signing-keys")),
        mlflow_tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None,
        lease_seconds=int(_number(environ, "ZOO_LEASE_SECONDS", 60)),
        catalogues_dir=Path(environ.get("ZOO_CATALOGS_DIR", CATALOGUES)),
        mirror_hosts=_words(environ.get("ZOO_MIRROR_HOSTS", MIRROR_HOSTS)),
        mirror_networks=_networks(environ.get("ZOO_MIRROR_NETWORKS", "")),
        mirror_limit_bytes=int(_number(environ, "ZOO_MIRROR_LIMIT_GIB", 20) * 2**30),
        debug=debug,
    )


def _refuse_s3(environ: Mapping[str, str]) -> None:
    """Only the local store exists yet; files in a folder where nobody expects them are worse than no start."""
    given = sorted(name for name, value in environ.items() if name.startswith("ZOO_S3_") and value)
    if given:
        raise InvalidInput(
            f"{', '.join(given)} are set, but this version keeps files in a local folder only.",
            hint="Unset them; ZOO_STORE_DIR names the folder.",
            facts={"field": given[0]},
        )


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def _networks(text: str) -> list[str]:
    words = _words(text)
    for word in words:
        try:
            ip_network(word)
        except ValueError as error:
            raise InvalidInput(
                f"ZOO_MIRROR_NETWORKS: {word!r} is not a network: {error}.",
                hint="Write networks such as 10.20.0.0/16, separated by commas.",
                facts={"field": "ZOO_MIRROR_NETWORKS"},
            ) from error
    return words


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < math.inf:
        raise InvalidInput(f"{name}={text!r} is not a positive number.", facts={"field": name})
    return value


def _database(url: str) -> dict[str, Any]:
    if not url.startswith(("postgresql://", "postgres://")):
        raise InvalidInput(
            f"ZOO_DATABASE_URL={url.split('://', maxsplit=1)[0]!r}://... is not PostgreSQL.",
            hint="Write postgresql://user:password@host/name.",
        )
    parts = conninfo_to_dict(url)
    known = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    database = {django: str(parts.pop(name)) for name, django in known.items() if parts.get(name) is not None}
    return {"ENGINE": "django.db.backends.postgresql", **database, "OPTIONS": parts}
