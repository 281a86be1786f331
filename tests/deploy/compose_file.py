"""Reads docker-compose.yml as Docker Compose does, as far as this project uses it: merges, profiles, interpolation."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / "deploy" / "env.example"
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])([^}]*))?\})")


def compose_text() -> str:
    return COMPOSE.read_text(encoding="utf-8")


def services(values: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The services; with ``values`` interpolated."""
    document: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(compose_text())
    found = document["services"]
    if values is None:
        return found
    return {name: _interpolated(service, values) for name, service in found.items()}


def _interpolated(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _interpolated(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(item, values) for item in node]
    if isinstance(node, str):
        return VARIABLE.sub(lambda match: _value(match, values), node)
    return node


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    escaped, name, operator, rest = match.groups()
    if escaped:
        return "$"
    value = values.get(name, "")
    if not value and operator == "?":
        raise KeyError(f"{name} is required")
    return value or (rest if operator == "-" else "")


def example_variables() -> dict[str, str]:
    """The variables of ``deploy/env.example``."""
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
