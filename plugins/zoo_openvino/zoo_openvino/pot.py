"""Reads a configuration file of OpenVINO's Post-training Optimization Tool (POT) as our own parameters.

POT was dropped in 2023; its files are still around.  Every key of a file gets a line in the report: translated to what,
ignored and why, or refused.  Sources: POT's own specifications of DefaultQuantization and AccuracyAwareQuantization and
its check of the keys (openvino 2022, ``tools/pot``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zoo_openvino.pot_rules import (
    ACCURACY_RULES,
    ALGORITHM_RULES,
    COMPRESSION_RULES,
    OUTSIDE,
    Verdict,
    ignored,
    refused,
)
from zoo_openvino.quantize_params import MAX_POT_CHARACTERS, QuantizeParams
from zoo_sdk.errors import InvalidInput

ALGORITHMS = ("DefaultQuantization", "AccuracyAwareQuantization")
DEFAULTS = {
    "use_fast_bias": "fast_bias_correction stays false, which is more exact; POT's default was true",
    "stat_subset_size": "samples stays 300; POT read the whole data set",
}
"""Where what the file leaves out means something else here than it meant to POT."""
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


@dataclass(frozen=True)
class ReportLine:
    """What became of one key of the file; ``key`` is its path, such as ``compression.algorithms[0].params.preset``."""

    key: str
    value: Any
    outcome: Literal["translated", "ignored", "refused", "default"]
    text: str

    def __str__(self) -> str:
        shown = "" if self.outcome == "default" else f" = {json.dumps(self.value)[:80]}"
        return f"{self.key}{shown}: {self.outcome}: {self.text}"


@dataclass
class Translation:
    """Parameters that a file amounts to, and the report of its keys."""

    params: dict[str, Any] = field(default_factory=dict)
    lines: list[ReportLine] = field(default_factory=list)

    def take(self, key: str, value: Any, verdict: Verdict) -> None:
        """Note the verdict on a key, and the parameters that it stands for."""
        self.lines.append(ReportLine(key, value, verdict.outcome, verdict.text))
        for path, chosen in verdict.params.items():
            *parents, name = path.split(".")
            place = self.params
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = chosen

    @property
    def report(self) -> list[dict[str, Any]]:
        """The lines as plain data."""
        return [
            {"key": line.key, "value": line.value, "outcome": line.outcome, "text": line.text} for line in self.lines
        ]


def translate(text: str) -> Translation:
    """Translate the text of a file.

    Raises:
        InvalidInput: no JSON, no such structure, or keys that have no counterpart; ``facts["report"]`` holds all lines.

    """
    config = _parsed(text)
    found = Translation()
    for section, content in config.items():
        if section == "compression":
            continue
        reason = OUTSIDE.get(section)
        for key, value in _leaves(section, content):
            found.take(key, value, ignored(reason) if reason else refused("there is no such part of the file"))
    _compression(config["compression"], found)
    if any(line.outcome == "refused" for line in found.lines):
        told = "; ".join(str(line) for line in found.lines if line.outcome == "refused")
        raise InvalidInput(
            f"The POT configuration asks for what cannot be done: {told}",
            hint="Remove or change these keys.",
            facts={"field": "pot_config", "report": found.report},
        )
    return found


def merged(params: QuantizeParams, found: Translation) -> QuantizeParams:
    """The parameters with what the file says, except where they were given beside it; that is noted in the report."""
    given = {name for name in params.model_fields_set if name != "pot_config"}
    for name in sorted(given & set(found.params)):
        text = "given beside the file, so what the file says of it does not count"
        found.lines.append(ReportLine(name, found.params[name], "ignored", text))
    chosen = {name: value for name, value in found.params.items() if name not in given}
    explicit = params.model_dump(include=given)
    try:
        return QuantizeParams.model_validate({**chosen, **explicit})
    except ValueError as error:
        raise InvalidInput(
            f"The POT configuration holds a wrong value: {error}", facts={"field": "pot_config"}
        ) from error


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > MAX_POT_CHARACTERS:
        raise InvalidInput(f"The POT configuration has {len(text):,} characters; {MAX_POT_CHARACTERS:,} are allowed.")
    plain = _TRAILING_COMMA.sub(_strings_only, _COMMENT.sub(_strings_only, text))
    try:
        config = json.loads(plain)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The POT configuration is not JSON: {error}",
            hint="Give the .json file (comments are fine); a .yaml one has to be rewritten as JSON.",
            facts={"field": "pot_config"},
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("compression"), dict):
        raise InvalidInput(
            "The POT configuration has no part 'compression'.",
            hint="It needs compression.algorithms with the name and params of one algorithm.",
            facts={"field": "pot_config"},
        )
    return config


def _strings_only(match: re.Match[str]) -> str:
    return match[1] or ""


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value below a key by its path; an empty object or list is one itself."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, inner in enumerate(value):
            yield from _leaves(f"{key}[{number}]", inner)
    else:
        yield key, value


def _compression(content: Mapping[str, Any], found: Translation) -> None:
    for name, value in content.items():
        if name != "algorithms":
            _apply(COMPRESSION_RULES, "compression", name, value, found)
    algorithms = content.get("algorithms")
    if not isinstance(algorithms, list) or len(algorithms) != 1 or not isinstance(algorithms[0], dict):
        raise InvalidInput(
            "compression.algorithms of the POT configuration is not a list of exactly one algorithm.",
            hint=f"Keep one of {' and '.join(ALGORITHMS)}.",
            facts={"field": "pot_config"},
        )
    _algorithm(algorithms[0], found)


def _algorithm(content: Mapping[str, Any], found: Translation) -> None:
    place = "compression.algorithms[0]"
    name, params = content.get("name"), content.get("params", {})
    for key, value in _other_keys(content):
        found.take(f"{place}.{key}", value, refused("POT has no such key"))
    if name not in ALGORITHMS or not isinstance(params, dict):
        reason = f"only {' and '.join(ALGORITHMS)} have a counterpart"
        found.take(f"{place}.name", name, refused(reason if name not in ALGORITHMS else "params is no object"))
        return
    aware = name == "AccuracyAwareQuantization"
    text = "NNCF's quantization with accuracy control" if aware else "NNCF's quantization"
    found.take(f"{place}.name", name, Verdict("translated", text))
    if aware:
        found.params["accuracy_control"] = {}
    for key, value in params.items():
        if key in ACCURACY_RULES and not aware:
            found.take(f"{place}.params.{key}", value, ignored("it counts in AccuracyAwareQuantization only"))
        else:
            _apply({**ALGORITHM_RULES, **ACCURACY_RULES}, f"{place}.params", key, value, found)
    for key, text in DEFAULTS.items():
        if key not in params:
            found.lines.append(ReportLine(f"{place}.params.{key}", None, "default", text))


def _other_keys(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in content.items() if key not in {"name", "params"})


def _apply(rules: Mapping[str, Any], place: str, name: str, value: Any, found: Translation) -> None:
    """Judge a key by its rule; a rule for an object judges each key inside it."""
    key, rule = f"{place}.{name}", rules.get(name)
    if rule is None:
        found.take(key, value, refused("POT has no such key"))
    elif isinstance(rule, Mapping):
        if not isinstance(value, dict):
            found.take(key, value, refused("is no object"))
            return
        for inner, content in value.items():
            _apply(rule, key, inner, content, found)
    else:
        found.take(key, value, rule(value))
