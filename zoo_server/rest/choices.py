"""Django field choices from the contract's enumerations."""

from enum import StrEnum


def choices_of(enumeration: type[StrEnum]) -> list[tuple[str, str]]:
    """``(value, label)`` pairs of a StrEnum, for ``CharField(choices=...)``."""
    return [(member.value, member.value.replace("_", " ")) for member in enumeration]
