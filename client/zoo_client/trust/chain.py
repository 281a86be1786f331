"""Follows a version's parents from statement to statement, each found by the digest that its child was signed with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo_client.trust.signatures import Keys, opened
from zoo_sdk.attestations import PROVENANCE_PREDICATE, Statement
from zoo_sdk.errors import IntegrityError

PLUGIN = "plugin"


@dataclass(frozen=True)
class LooseEnd:
    """A parent whose own statement is not in the folder: not shown to whoever pulled it, or removed."""

    child: str
    role: str
    uri: str


@dataclass
class Ancestry:
    """What was found: versions with a statement (names, nearest first), loose ends, external parents, faults."""

    proven: list[str] = field(default_factory=list)
    loose_ends: list[LooseEnd] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def walk_ancestry(root: Statement, texts: Sequence[str], keys: Keys) -> Ancestry:
    """The ancestry of the version that ``root`` is about, with the statements in ``texts`` (DSSE envelopes)."""
    found = Ancestry()
    statements: dict[str, Statement] = {}
    for number, text in enumerate(texts, 1):
        try:
            statement = opened(text, keys).statement
        except IntegrityError as error:
            found.faults.append(f"line {number} {error.detail}")
            continue
        if statement.predicateType != PROVENANCE_PREDICATE:
            found.faults.append(f"line {number} is a {statement.predicateType}, no provenance")
            continue
        statements[_digest_of(statement)] = statement
    waiting, seen = [root], {_digest_of(root)}
    while waiting:
        child = waiting.pop(0)
        for item in dependencies_of(child):
            digest = item.get("digest", {}).get("sha256", "")
            if not digest or not str(item.get("uri", "")).startswith("urn:uuid:"):
                found.external.append(str(item.get("uri", "")))
            elif digest not in statements:
                found.loose_ends.append(LooseEnd(child.subject[0].name, role_of(item), str(item.get("uri", ""))))
            elif digest not in seen:
                seen.add(digest)
                waiting.append(statements[digest])
                found.proven.append(statements[digest].subject[0].name)
    strays = [statement.subject[0].name for digest, statement in statements.items() if digest not in seen]
    found.faults += [f"holds the statement of {name}, which is none of its ancestors" for name in strays]
    return found


def dependencies_of(statement: Statement) -> list[dict[str, Any]]:
    """The parents and data sets that a provenance statement names."""
    listed = statement.predicate.get("buildDefinition", {}).get("resolvedDependencies", [])
    return [item for item in listed if isinstance(item, dict) and role_of(item) != PLUGIN]


def role_of(dependency: dict[str, Any]) -> str:
    """What a dependency was to the version."""
    annotations = dependency.get("annotations")
    return str(annotations.get("role", "")) if isinstance(annotations, dict) else ""


def _digest_of(statement: Statement) -> str:
    return statement.subject[0].digest.get("sha256", "")
