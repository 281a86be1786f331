"""Why the bytes of a file are not here: they are at a remote address only, or its version is a tombstone."""

from zoo_sdk.errors import Conflict, ZooError
from zoo_server.rest.problems import Gone


class NotMirrored(Conflict):
    """The bytes of a file are at its remote address only."""

    code = "not-mirrored"


def absence(path: str, address: str, sha256: str) -> ZooError:
    """The error for who wants the bytes."""
    if address:
        return NotMirrored(
            f"{path!r} is not mirrored: its bytes are only at {address}.",
            hint="`zoo catalog fetch TEAM/NAME` brings them here; then try again.",
            facts={"path": path, "address": address},
        )
    return Gone(
        f"{path!r} is gone: its version was deleted, and its time to be restored is over.",
        hint="What is left is its digest. Whoever has the bytes can publish them as a new version.",
        facts={"path": path, "sha256": sha256},
    )
