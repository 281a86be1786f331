"""JSON and other texts: cards, labels, configurations."""

import re

from zoo_inspection import oneflow
from zoo_inspection.bounded_json import parse
from zoo_inspection.findings import Report
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import HEAD, Section

MAX_JSON = 4 * 2**20
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def inspect_text(section: Section, report: Report) -> bool:
    """``json``, ``text``, or False for bytes that are no text (only the first are looked at)."""
    head = section.head()
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < HEAD - 4:
            return False
        text = head[: error.start].decode("utf-8-sig")
    if CONTROL.search(text):
        return False
    report.format = "text"
    if section.size <= MAX_JSON and text.lstrip()[:1] in {"{", "["}:
        try:
            parse(section.at(0, section.size))
        except (Malformed, LimitReached):
            return True
        report.format = "json"
    elif section.size <= oneflow.MAX_META:
        told = oneflow.parse_meta(text)
        if told:
            report.facts |= {"kind": "oneflow tensor description", "shape": list(told[0])[:64], "dtype": told[1]}
    return True
