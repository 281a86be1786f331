"""``Idempotency-Key``: the same request again, also at the same time, leads to the same job."""

from uuid import UUID

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_server.jobs.models import IdempotencyKey, Job
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.jobs.services.locks import sole_runner

KEY_LENGTH = 200
KEPT_SECONDS = 24 * 3600


class IdempotencyMismatch(Conflict):
    """The key was used for another request."""

    code = "idempotency-mismatch"


def check_key(key: str | None) -> None:
    """Refuse a key that is empty, long or not printable."""
    if key is not None and not (0 < len(key) <= KEY_LENGTH and key.isascii() and key.isprintable()):
        raise InvalidInput(
            f"The Idempotency-Key {key[:40]!r} is not 1 to {KEY_LENGTH} printable ASCII characters.",
            facts={"field": "Idempotency-Key"},
        )


def job_of_key(*, user_id: UUID, key: str | None, request_digest: str) -> Job | None:
    """The job that this key led to; raises :class:`IdempotencyMismatch` if that was another request."""
    found = IdempotencyKey.objects.select_related("job").filter(user_id=user_id, key=key).first() if key else None
    if found is None:
        return None
    if found.request_digest != request_digest:
        raise IdempotencyMismatch(
            f"The Idempotency-Key {key!r} was used for another submission.",
            hint="Use a new key for a new job.",
            facts={"job": str(found.job_id)},
        )
    return found.job


def forget_idempotency_keys() -> int:
    """Delete the keys that are older than a day.  Returns how many."""
    with sole_runner("forget_idempotency_keys") as alone:
        if not alone:
            return 0
        deleted, _ = IdempotencyKey.objects.filter(created_at__lt=in_seconds(-KEPT_SECONDS)).delete()
        return deleted
