"""Names and references: ``team/name``, ``team/name@3``, ``team/name@production``, ``team/name@3#path/of/file``."""

import re
import unicodedata
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

from zoo_sdk.errors import InvalidInput

NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,94}[a-z0-9])?$"
SHA256_PATTERN = r"^sha256:[0-9a-f]{64}$"
MAX_PATH_LENGTH = 400
MAX_SEGMENT_LENGTH = 200

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=96)]
"""A team's, model's or data set's name: lower case letters, digits, ``.``, ``_`` and ``-``."""

Digest = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
"""``sha256:`` and 64 hexadecimal digits, always whole."""

_ODD = r"\x00-\x1f\x7f\ud800-\udfff"
"""Control characters and halves of characters: nothing that is stored is called so, and PostgreSQL refuses them."""
_REFERENCE = re.compile(
    rf"^(?P<team>[^/@#\s]+)/(?P<name>[^/@#\s]+)(?:@(?P<selector>[^#\s/@{_ODD}]+))?(?:#(?P<path>[^{_ODD}]+))?\Z"
)


class Reference(BaseModel):
    """A parsed reference to a version (or, without selector, to a named line of versions).

    ``selector`` is a version number in digits, or an alias; ``path`` picks one artifact by the path of its first file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    team: Name
    name: Name
    selector: str | None = None
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``team/name[@selector][#path]``; raises :class:`InvalidInput` that shows the expected form."""
        match = _REFERENCE.match(text)
        if not match:
            raise InvalidInput(
                f"{text!r} is not a reference.",
                hint="Write team/name@3 or team/name@alias, for example vision/resnet50@3.",
            )
        for part in ("team", "name"):
            if not re.match(NAME_PATTERN, match[part]):
                raise InvalidInput(
                    f"{match[part]!r} in {text!r} is not a valid {part} name.",
                    hint="Use lower case letters, digits, '.', '_' and '-'; begin and end with a letter or digit.",
                )
        return cls(team=match["team"], name=match["name"], selector=match["selector"], path=match["path"])

    @property
    def number(self) -> int | None:
        """The version number, or None when the selector is an alias or absent."""
        return int(self.selector) if self.selector and self.selector.isdigit() else None

    def __str__(self) -> str:
        text = f"{self.team}/{self.name}"
        text += f"@{self.selector}" if self.selector else ""
        return text + (f"#{self.path}" if self.path else "")


def checked_path(path: str) -> str:
    """Return ``path`` if it is a safe relative POSIX path of a file in a version, else raise :class:`InvalidInput`.

    Refused: absolute paths, ``.``/``..``/empty segments, backslashes, drive letters, NUL and other control
    characters, more than 400 characters or a segment of more than 200 bytes, text that is not NFC-normalised.
    """
    reason = _path_fault(path)
    if reason:
        raise InvalidInput(
            f"The path {path[:120]!r} {reason}.",
            hint="Use a relative path with forward slashes, such as weights/model.safetensors.",
            facts={"field": "path"},
        )
    return path


def _path_fault(path: str) -> str | None:
    if not path:
        return "is empty"
    if len(path) > MAX_PATH_LENGTH:
        return f"is longer than {MAX_PATH_LENGTH} characters"
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs"} for character in path):
        return "holds a control character"
    if "\\" in path or re.match(r"^[A-Za-z]:", path):
        return "is not a POSIX path"
    if path.startswith(("/", "~")):
        return "is absolute"
    if unicodedata.normalize("NFC", path) != path:
        return "is not NFC-normalised Unicode"
    faults = (_segment_fault(segment) for segment in path.split("/"))
    return next((fault for fault in faults if fault), None)


def _segment_fault(segment: str) -> str | None:
    if segment in {"", ".", ".."}:
        return f"holds the segment {segment!r}"
    if len(segment.encode()) > MAX_SEGMENT_LENGTH:
        return f"holds a segment longer than {MAX_SEGMENT_LENGTH} bytes"
    return None
