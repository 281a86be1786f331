"""How often does a quantized ImageNet network agree with the float one on real photographs?

There is no ImageNet here, so this is not accuracy: every crop is labelled with the answer of the float network
(EfficientNet-Lite0 as its package ships it), and what is measured is how often the quantized one gives the same first
choice, and whether the float's choice is among its first five.  Calibration, the choice of layers to spare, and for LSQ
the training with the float network as the only teacher use crops of other photographs than the measured ones.  100
crops of 20 photographs are few: 95 of 100 means about 89 to 98 %.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.figures import Figure
from bench.machine import usable_threads
from bench.operations import Outcome, perform, size_of
from bench.photographs import CALIBRATED_ON, MEASURED_ON, NETWORK, Photography, photography
from bench.reporting import RESULTS, SAMPLES, Findings, say, write_report
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Unavailable

DISTRIBUTIONS = ("openvino", "nncf", "torch", "timm", "zoo-torch", "zoo-openvino")
BITS = ((8, 8), (4, 4), (3, 4))
LSQ_TRAINING = {
    "epochs": 3, "batch_size": 32, "learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0, "warmup_epochs": 0,
    "temperature": 1.0, "kd_weight": 1.0, "evaluate_each_epoch": False,
}  # fmt: skip
COLUMNS = (
    "form",
    "same first choice %",
    "float's choice among the first five %",
    "file KiB",
    "weights KiB at their bits",
)


@dataclass(frozen=True)
class Form:
    """A quantized form of the network: what it agrees to, and how large it is."""

    name: str
    first: float
    five: float
    size: int
    packed: float | None


@dataclass(frozen=True)
class Workbench:
    """Runs operations on the photographs."""

    photography: Photography
    folder: Path
    threads: int
    bits: tuple[tuple[int, int], ...]
    training: Mapping[str, Any]

    def forms(self) -> Iterator[Form]:
        """Float in OpenVINO (its conversion must not count as quantization), INT8, and LSQ."""
        onnx = self._make("torch.export_onnx", {}, {"model": self.photography.network}, "onnx")
        fp32 = self._make("openvino.convert", {}, {"model": onnx}, "fp32")
        yield self._openvino("float, OpenVINO", fp32)
        for preset in ("performance", "mixed"):
            # The operation refuses what agrees too little; here that is the very question.
            params = {"preset": preset, "min_agreement": 0}
            int8 = self._make("openvino.quantize", params, {"model": fp32}, f"int8-{preset}")
            yield self._openvino(f"INT8, openvino.quantize, preset={preset}", int8)
        for bits in self.bits:
            yield self._trained(*bits)
        if self.bits:
            yield self._calibrated("calibrated only", max_drop=100)
            yield self._calibrated("calibrated, sensitive layers in float", max_drop=2)

    def _openvino(self, name: str, item: InputItem) -> Form:
        measured = self._perform("openvino.evaluate", {}, {"model": item}, f"{item.folder.parents[1].name}-evaluated")
        return Form(name, measured.measured["top1"], measured.measured["top5"], size_of(item), None)

    def _trained(self, weight: int, activation: int) -> Form:
        # No export is asked for by name: one that answers otherwise than the network does is left out, not an error.
        params = {**self.training, "weight_bits": weight, "activation_bits": activation}
        teacher = {"teacher": self.photography.network}
        return self._torch(f"LSQ W{weight}A{activation}, trained", "torch.quantize_aware", params, teacher)

    def _calibrated(self, how: str, *, max_drop: float) -> Form:
        """``max_drop``: points of agreement on the calibration crops that may go before layers stay in float."""
        params = {"max_drop": max_drop, "limit_samples": 128, "calibration_samples": 128, "batch_size": 32}
        return self._torch(f"LSQ W8A8, {how}", "torch.mixed_precision", params, {})

    def _torch(self, name: str, operation: str, params: Mapping[str, Any], inputs: Mapping[str, InputItem]) -> Form:
        outcome = self._perform(operation, params, {"model": self.photography.network, **inputs}, name)
        assert outcome.made is not None
        measured = outcome.measured
        size, packed = size_of(outcome.made), measured.get("effective_size_bytes")
        return Form(f"{name} ({operation})", measured["top1"], measured["top5"], size, packed)

    def _make(self, operation: str, params: Mapping[str, Any], inputs: Mapping[str, InputItem], name: str) -> InputItem:
        made = self._perform(operation, params, inputs, name).made
        assert made is not None
        return made

    def _perform(
        self, operation: str, params: Mapping[str, Any], inputs: Mapping[str, InputItem], name: str
    ) -> Outcome:
        say(f"{operation} -> {name}")
        return perform(
            operation,
            params,
            {**inputs, "data": self.photography.data},
            folder=self.folder / name,
            seed=0,
            threads=self.threads,
        )


def measure(workbench: Workbench) -> Findings:
    """Make every form and compare."""
    crops = workbench.photography.crops
    options = {"network": NETWORK, "measured_on": MEASURED_ON, "calibrated_on": CALIBRATED_ON, "crops": crops}
    findings = Findings(
        "agreement", __doc__ or "", {**options, **workbench.training}, DISTRIBUTIONS, load_matters=False
    )
    rows = []
    for form in workbench.forms():
        say(f"{form.name}: {form.first:.1f} % the same first choice")
        name = f"{form.name}: agreement with float on {crops} crops of photographs"
        findings.figures.append(Figure(name=name, value=form.first, unit="%"))
        packed = "" if form.packed is None else f"{form.packed / 1024:,.1f}"
        rows.append([form.name, f"{form.first:.1f}", f"{form.five:.1f}", f"{form.size / 1024:,.1f}", packed])
    findings.table("Agreement with the float network, which is not accuracy", COLUMNS, rows)
    return findings


def main(
    *,
    measured_each: Annotated[int, typer.Option(min=1, help="Crops of each of the 20 measured photographs.")] = 5,
    calibration_each: Annotated[int, typer.Option(min=1, help="Crops of each of the 14 others.")] = 24,
    few: Annotated[bool, typer.Option("--few", help="Without LSQ.")] = False,
    samples: Annotated[Path, typer.Option(help="Where the packages are kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Agreement of quantized networks with the float one on photographs."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as temporary:
        folder = Path(temporary)
        try:
            pictures = photography(
                samples.absolute() / "photographs", folder, measured_each=measured_each,
                calibration_each=calibration_each,
            )  # fmt: skip
        except Unavailable as error:
            findings = Findings("agreement", __doc__ or "", {}, DISTRIBUTIONS, load_matters=False)
            findings.notes.append(f"Nothing was measured: {error}")
        else:
            findings = measure(
                Workbench(pictures, folder / "made", usable_threads(), () if few else BITS, LSQ_TRAINING)
            )
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
