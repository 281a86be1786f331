"""How long a job waits before its next attempt: exponential, with jitter, capped."""

from random import uniform

FIRST_SECONDS = 5.0
CAP_SECONDS = 300.0


def backoff_seconds(*, attempt: int) -> float:
    """Seconds after the failure of attempt ``attempt`` (from 1): half of 5, 10, 20 ... 300, plus up to the other half.

    The random half spreads the attempts of jobs that were lost together ("equal jitter").
    """
    full = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt - 1, 30))
    return full / 2 + uniform(0, full / 2)  # noqa: S311  spreading, not secrecy
