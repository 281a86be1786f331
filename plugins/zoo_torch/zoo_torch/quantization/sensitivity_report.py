"""What was measured layer by layer, and what became of each layer, as JSON beside the network."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from zoo_torch.quantization.network import quantised_layers
from zoo_torch.quantization.scheme import MAX_LAYERS, LayerName, QuantizationScheme
from zoo_torch.quantization.sensitivity import Figures, Metric, Restoration, SensitivityAnalysis

REPORT_FILE = "sensitivity.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerReport(_Record):
    """``rank``: from 1, the most sensitive.  ``alone``: the network's figures with this layer only quantised.

    ``bits`` and ``result``: (weights, activations) before and after layers were restored.
    """

    rank: int
    weights: int
    bits: tuple[int, int]
    alone: Figures
    drop: float
    result: tuple[int, int] | Literal["float"]


class Tested(_Record):
    """Both networks on the test split, which took no part in any choice."""

    samples: int
    whole: Figures
    result: Figures
    drop: float
    within_max_drop: bool


class SensitivityReport(_Record):
    """The file ``sensitivity.json``.  ``whole``: the float network; ``quantised``: before layers were restored."""

    sensitivity: Literal[1] = 1
    metric: Metric
    max_drop: float
    samples: int
    calibration_samples: int
    whole: Figures
    quantised: Figures
    result: Figures
    layers: Annotated[dict[LayerName, LayerReport], Field(max_length=MAX_LAYERS)]
    restored: tuple[Restoration, ...]
    scheme: QuantizationScheme
    test: Tested

    def write(self, path: Path) -> None:
        """Write the file; equal analyses give equal bytes."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def layer_reports(analysis: SensitivityAnalysis, network: nn.Module) -> dict[str, LayerReport]:
    """One for each layer, in the order of the modules; ``network``: the one that resulted."""
    ranks = {name: rank for rank, name in enumerate(analysis.ranking(), 1)}
    left = quantised_layers(network)
    reports = {}
    for name, bits in analysis.bits.items():
        layer = left.get(name)
        alone = analysis.state.alone[name]
        reports[name] = LayerReport(
            rank=ranks[name],
            weights=network.get_parameter(f"{name}.weight").numel(),
            bits=bits,
            alone=alone,
            drop=analysis.drop(alone),
            result="float" if layer is None else (layer.weight_quantiser.bits, layer.input_quantiser.bits),
        )
    return reports
