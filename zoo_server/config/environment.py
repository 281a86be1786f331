"""The server's settings from the environment: read here and nowhere else."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from zoo_sdk.environment import check_environment
from zoo_sdk.errors import InvalidInput
from zoo_server.artifacts.s3_settings import S3Settings

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
    proxies: list[str]
    store_dir: Path
    store_quota_bytes: int | None
    x_accel_prefix: str | None
    deletion_days: float
    s3: S3Settings | None
    signing_keys_dir: Path
    audit_checkpoints: Path
    mlflow_tracking_uri: str | None
    lease_seconds: int
    catalogues_dir: Path
    mirror_hosts: list[str]
    mirror_networks: list[str]
    mirror_limit_bytes: int
    webhook_networks: list[str]
    debug: bool


def read_environment(environ: Mapping[str, str] = os.environ) -> Environment:
    """Parse and check the variables; raises :class:`zoo_sdk.errors.InvalidInput` that names the wrong one."""
    check_environment(environ)
    debug = environ.get("ZOO_DEBUG") == "1"
    home = Path(environ.get("ZOO_HOME", ".zoo")).absolute()
    quota = environ.get("ZOO_STORE_QUOTA_GIB")
    return Environment(
        database=_database(environ.get("ZOO_DATABASE_URL", "postgresql://127.0.0.1:5432/zoo")),
        broker_url=environ.get("ZOO_BROKER_URL", "redis://127.0.0.1:6379/0"),
        secret_key=environ.get("ZOO_SECRET_KEY") or "not-secret: only for commands that answer no request",
        allowed_hosts=environ.get("ZOO_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(","),
        public_url=environ.get("ZOO_URL", "http://127.0.0.1:8080").rstrip("/"),
        proxies=_networks(environ, "ZOO_PROXIES"),
        store_dir=Path(environ.get("ZOO_STORE_DIR", home / "store")),
        s3=_s3(environ),
        store_quota_bytes=int(_number(environ, "ZOO_STORE_QUOTA_GIB", 0) * 2**30) if quota else None,
        x_accel_prefix=_x_accel(environ.get("ZOO_X_ACCEL_PREFIX", "")),
        deletion_days=_number(environ, "ZOO_DELETION_DAYS", 30),
        audit_checkpoints=Path(environ.get("ZOO_AUDIT_CHECKPOINTS", home / "audit.jsonl")),
        signing_keys_dir=Path(environ.get("ZOO_SIGNING_KEYS_DIR", home / "secrets" / "signing-keys")),
        mlflow_tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None,
        lease_seconds=int(_number(environ, "ZOO_LEASE_SECONDS", 60)),
        catalogues_dir=Path(environ.get("ZOO_CATALOGS_DIR", CATALOGUES)),
        mirror_hosts=_words(environ.get("ZOO_MIRROR_HOSTS", MIRROR_HOSTS)),
        mirror_networks=_networks(environ, "ZOO_MIRROR_NETWORKS"),
        mirror_limit_bytes=int(_number(environ, "ZOO_MIRROR_LIMIT_GIB", 20) * 2**30),
        webhook_networks=_networks(environ, "ZOO_WEBHOOK_NETWORKS"),
        debug=debug,
    )


def _s3(environ: Mapping[str, str]) -> S3Settings | None:
    """The bucket, or None when nothing of it is named; half a bucket is an error."""
    given = {name: value for name, value in environ.items() if name.startswith("ZOO_S3_") and value}
    if not given.keys() - {"ZOO_S3_REGION"}:
        return None
    needed = ("ZOO_S3_BUCKET", "ZOO_S3_ACCESS_KEY_ID", "ZOO_S3_SECRET_ACCESS_KEY")
    missing = [name for name in needed if name not in given]
    if missing:
        raise InvalidInput(
            f"{', '.join(sorted(given))} are set, but {' and '.join(missing)} are not.",
            hint="Set them for a blob store in S3, or unset all of ZOO_S3_* for one in the folder ZOO_STORE_DIR.",
            facts={"field": missing[0]},
        )
    addresses = {name: given.get(name) for name in ("ZOO_S3_ENDPOINT_URL", "ZOO_S3_PUBLIC_URL")}
    for name, address in addresses.items():
        if address and not address.startswith(("http://", "https://")):
            raise InvalidInput(
                f"{name}={address!r} is not an address.", hint="Write http(s)://host:port.", facts={"field": name}
            )
    return S3Settings(
        bucket=given["ZOO_S3_BUCKET"],
        access_key=given["ZOO_S3_ACCESS_KEY_ID"],
        secret_key=given["ZOO_S3_SECRET_ACCESS_KEY"],
        endpoint_url=addresses["ZOO_S3_ENDPOINT_URL"],
        public_url=addresses["ZOO_S3_PUBLIC_URL"],
        region=given.get("ZOO_S3_REGION", "us-east-1"),
    )


def _x_accel(text: str) -> str | None:
    if text and not re.fullmatch(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+/", text):
        raise InvalidInput(
            f"ZOO_X_ACCEL_PREFIX={text!r} is no location.",
            hint="Write it as in deploy/nginx.conf, with a slash at both ends: /_blobs/.",
            facts={"field": "ZOO_X_ACCEL_PREFIX"},
        )
    return text or None


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def _networks(environ: Mapping[str, str], name: str) -> list[str]:
    words = _words(environ.get(name, ""))
    for word in words:
        try:
            ip_network(word)
        except ValueError as error:
            raise InvalidInput(
                f"{name}: {word!r} is not a network: {error}.",
                hint="Write networks such as 10.20.0.0/16, separated by commas.",
                facts={"field": name},
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
