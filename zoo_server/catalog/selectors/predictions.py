"""How often two versions say the same of a picture, from the predictions that their evaluations kept."""

import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import combinations
from operator import eq
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models.fields.json import KT

from zoo_server.catalog.models import Report, Version

CLASSIFICATION = "classification"
_CODES = {"int16": "h", "int32": "i"}


class Agreement(NamedTuple):
    """Of ``samples`` pictures both versions said the ``same`` of so many."""

    first: Version
    second: Version
    samples: int
    same: int


def agreements(versions: Sequence[Version], *, dataset_id: UUID, split: str) -> list[Agreement]:
    """Every pair of versions whose newest evaluations on that data set and split were over the same pictures."""
    rows = (
        Report.objects.filter(version__in=versions, kind=CLASSIFICATION, dataset=dataset_id, split=split)
        .annotate(dtype=KT("content__predictions__dtype"), data=KT("content__predictions__data"))
        .order_by("version_id", "-id")
        .distinct("version_id")
        .values("version_id", "dtype", "data")
    )
    kept = {row["version_id"]: found for row in rows if (found := decoded(row)) is not None}
    pairs = combinations([version for version in versions if version.pk in kept], 2)
    return [
        Agreement(first, second, len(kept[first.pk]), _same(kept[first.pk], kept[second.pk]))
        for first, second in pairs
        # A limit spreads its samples evenly, so that as many samples are the same ones.
        if len(kept[first.pk]) == len(kept[second.pk])
    ]


def decoded(row: Mapping[str, Any]) -> "array[int] | None":
    """The class numbers of a report's predictions; None where it has none, or they cannot be read."""
    code = _CODES.get(row["dtype"] or "")
    if code is None or not row["data"]:
        return None
    try:
        found = array(code, base64.b64decode(row["data"], validate=True))
    except (binascii.Error, ValueError):
        return None
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _same(first: "array[int]", second: "array[int]") -> int:
    if first == second:
        return len(first)
    return sum(map(eq, first, second))
