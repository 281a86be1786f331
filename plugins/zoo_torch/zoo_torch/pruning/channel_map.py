"""``channels.json``: what was kept of the base network, channel by channel, and by what judgement."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_sdk.artifacts import ArtifactDescription
from zoo_torch.pruning.costs import Cost
from zoo_torch.pruning.params import PruneParams
from zoo_torch.pruning.pruner import Pruner

CHANNELS_FILE = "channels.json"
DIGITS = 6


def channel_map(
    params: PruneParams, pruner: Pruner, base: str, costs: tuple[Cost, Cost], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of the file.

    ``layers``: kept output and input channels by layer, in the numbering of ``base``; layers that are not named kept
    all.  ``groups``: channels that share one choice.  ``left``: why other layers keep their outputs.
    """
    before, after = costs
    return {
        "zoo_channels": 1,
        "base": base,
        "method": params.method,
        "scope": params.scope,
        "macs": {"before": before.macs, "after": after.macs},
        "parameters": {"before": before.parameters, "after": after.parameters},
        **facts,
        "groups": [
            {
                "name": group.name,
                "layers": list(group.layers),
                "channels": group.size,
                "kept": list(pruner.kept[group.name]),
                "ratio": round(1 - len(pruner.kept[group.name]) / group.size, DIGITS),
                "importance": [_short(value) for value in pruner.scores[group.name]],
            }
            for group in pruner.structure.groups
        ],
        "layers": {
            layer: {"outputs": list(outputs), "inputs": list(inputs)}
            for layer, (outputs, inputs) in pruner.channels.items()
        },
        "left": dict(pruner.structure.left),
    }


def write_channel_map(content: Mapping[str, Any], folder: Path) -> ArtifactDescription:
    """Write the file and describe it."""
    (folder / CHANNELS_FILE).write_text(json.dumps(content, separators=(",", ":")) + "\n")
    return ArtifactDescription(name="channels", format="json", files=(CHANNELS_FILE,))


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
