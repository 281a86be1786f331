"""The ``ZOO_*`` variables: their names and meaning, and a check that refuses misspelt ones."""

from collections.abc import Mapping
from types import MappingProxyType

from zoo_sdk.errors import UnknownName

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "ZOO_HOME": "Folder of the one-machine Zoo: data, logs, secrets (default .zoo).",
        "ZOO_URL": "Address of the registry for clients and workers (default http://127.0.0.1:8080).",
        "ZOO_TOKEN": "Token of the client, instead of the one kept by `zoo login`.",
        "ZOO_WORKER_TOKEN": "Token of a worker, with the scope `worker`.",
        "ZOO_WORKER_NAME": "Name of a worker (default: host name and plugin groups).",
        "ZOO_WORKER_STATE": "Folder of a worker: input cache, checkpoints, journals (default ~/.cache/zoo-worker).",
        "ZOO_WORKER_CACHE_GIB": "Size limit of a worker's input cache in GiB (default 20).",
        "ZOO_WORKER_SHARED_CACHE_GIB": "Size limit of what a worker's jobs keep for each other, in GiB (default 10).",
        "ZOO_WORKER_QUEUES": "Queues of a worker, separated by commas (default: one per installed plugin group).",
        "ZOO_WORKER_ISOLATION": "auto (default), required or off: whether operations are kept from network and files.",
        "ZOO_WORKER_USER": "User that the operations of a root worker run as (default nobody).",
        "ZOO_WORKER_GPUS": "GPUs that a worker gives to jobs: numbers or ids with commas, or none (default: all).",
        "ZOO_WORKER_IMAGE": "Container image of a worker with its digest, recorded with what the worker makes.",
        "ZOO_DATABASE_URL": "postgresql:// URL of the registry's database.",
        "ZOO_BROKER_URL": "redis:// URL of the broker.",
        "ZOO_SECRET_KEY": "Django's secret key.",
        "ZOO_PROXIES": "Networks of the proxies before the registry; their X-Forwarded-For is believed (default none).",
        "ZOO_ALLOWED_HOSTS": "Host names that the registry answers to, separated by commas.",
        "ZOO_STORE_DIR": "Folder of the local blob store.",
        "ZOO_STORE_QUOTA_GIB": "Largest total size of the blob store in GiB (default: no limit).",
        "ZOO_X_ACCEL_PREFIX": "Internal location of the nginx in front that sends the store's blobs, such as /_blobs/.",
        "ZOO_DELETION_DAYS": "Days within which a deleted version or model can be restored (default 30).",
        "ZOO_SIGNING_KEYS_DIR": "Folder of the registry's signing keys (default: ZOO_HOME/secrets/signing-keys).",
        "ZOO_AUDIT_CHECKPOINTS": "File for signed checkpoints of the audit log (default: ZOO_HOME/audit.jsonl).",
        "ZOO_S3_ENDPOINT_URL": "Address of the S3 service of the blob store (default: that of AWS).",
        "ZOO_S3_BUCKET": "S3 bucket of the blob store.",
        "ZOO_S3_PUBLIC_URL": "Address of the S3 service for clients, if theirs is another.",
        "ZOO_S3_REGION": "Region of the S3 bucket (default us-east-1).",
        "ZOO_S3_ACCESS_KEY_ID": "S3 access key.",
        "ZOO_S3_SECRET_ACCESS_KEY": "S3 secret key.",
        "ZOO_LEASE_SECONDS": "Seconds that a job's lease lasts without a heartbeat (default 60).",
        "ZOO_CATALOGS_DIR": "Folder of the catalogues that the registry knows by name (default: catalogs beside it).",
        "ZOO_MIRROR_HOSTS": "Hosts, separated by commas, from which files of catalogues may be fetched; * is allowed.",
        "ZOO_MIRROR_NETWORKS": "Networks that are not public from which they may be fetched too, such as 10.0.0.0/8.",
        "ZOO_MIRROR_LIMIT_GIB": "Largest file of a catalogue that is fetched, in GiB (default 20).",
        "ZOO_WEBHOOK_NETWORKS": "Networks that are not public to which webhooks may be sent, such as 10.0.0.0/8.",
        "ZOO_DEBUG": "1: Django's debug mode; never in production.",
    }
)
"""``MLFLOW_TRACKING_URI`` is read as well, under MLflow's own name."""


def check_environment(environ: Mapping[str, str]) -> None:
    """Raise :class:`UnknownName` for a ``ZOO_*`` variable that does not exist, naming the nearest known one."""
    for name in environ:
        if name.startswith("ZOO_") and name not in VARIABLES:
            raise UnknownName("environment variable", name, VARIABLES)
