"""What does INT8 cost in accuracy, and what does it bring?

The float network in ONNX Runtime and OpenVINO against the INT8 of ``openvino.quantize`` (NNCF) and of
``onnxruntime.quantize``, each calibrated on 300 training pictures, on all test pictures: top-1, latency and size (the
latter two in OpenVINO).  Latencies are measured in one process in interleaved blocks, so the ratio is of
one run; the demo's student and its teacher, each trained with the demo's budget.  The goal is for the operation's
defaults; other settings are listed beside them.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from bench.distillation import demo_budget
from bench.figures import Figure, Goal, ratios
from bench.machine import instruction_sets, usable_threads
from bench.operations import dataset_item, perform, size_of
from bench.reporting import RESULTS, SAMPLES, Findings, say, write_report
from bench.timing import interleaved_medians
from zoo_demo.data import sample_data
from zoo_sdk.context import InputItem

MAX_DIFFERENCE = 0.3
"""Points of top-1 between INT8 and float."""
BATCHES = (1, 32)
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "preset=mixed": {"preset": "mixed"},
    "fast_bias_correction=true": {"fast_bias_correction": True},
    "samples=1000": {"samples": 1000},
    "preset=mixed, samples=1000": {"preset": "mixed", "samples": 1000},
}
"""Tried beside the defaults."""
INT8_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8"}
DISTRIBUTIONS = ("openvino", "nncf", "onnxruntime", "torch", "numpy", "zoo-torch", "zoo-openvino", "zoo-onnxruntime")


@dataclass(frozen=True)
class Forms:
    """One network in its forms, with the top-1 of each."""

    items: Mapping[str, InputItem]
    top1: Mapping[str, float]

    @property
    def difference(self) -> float:
        """INT8 minus float, both in OpenVINO, in points."""
        return self.top1["int8"] - self.top1["fp32"]

    @property
    def onnxruntime_difference(self) -> float:
        """INT8 minus float, both in ONNX Runtime, in points."""
        return self.top1["ort-int8"] - self.top1["onnx"]


@dataclass(frozen=True)
class Workshop:
    """Makes and evaluates the forms of a network."""

    data: InputItem
    training: Mapping[str, Any]
    folder: Path
    seed: int
    threads: int
    limit: int | None

    def forms_of(self, architecture: str) -> Forms:
        """Train, export, convert, quantize; then evaluate each in its own runtime."""
        name = architecture.partition(":")[2]
        trained = self._make("torch.train", {"architecture": architecture, **self.training}, {}, f"{name}-torch")
        onnx = self._make("torch.export_onnx", {}, {"model": trained}, f"{name}-onnx")
        fp32 = self._make("openvino.convert", {}, {"model": onnx}, f"{name}-fp32")
        int8 = self._make("openvino.quantize", {}, {"model": fp32}, f"{name}-int8")
        ort_int8 = self._make("onnxruntime.quantize", {}, {"model": onnx}, f"{name}-ort-int8")
        items = {"onnx": onnx, "fp32": fp32, "int8": int8, "ort-int8": ort_int8}
        top1 = {form: self._top1(item, form, name) for form, item in items.items()}
        say(f"{architecture}: " + ", ".join(f"{form} {value:.2f} %" for form, value in top1.items()))
        return Forms(items, top1)

    def quantized_top1(self, network: str, fp32: InputItem, settings: Mapping[str, Any], name: str) -> float:
        """Accuracy in percent after quantizing in another way."""
        name = f"{network.partition(':')[2]}-{name}"
        return self._top1(self._make("openvino.quantize", settings, {"model": fp32}, name), "int8", name)

    def _make(self, operation: str, params: Mapping[str, Any], inputs: Mapping[str, InputItem], name: str) -> InputItem:
        made = self._perform(operation, params, inputs, name).made
        assert made is not None
        return made

    def _top1(self, item: InputItem, form: str, name: str) -> float:
        operation = "onnxruntime.evaluate" if form in {"onnx", "ort-int8"} else "openvino.evaluate"
        outcome = self._perform(operation, {"limit": self.limit}, {"model": item}, f"{name}-{form}-evaluated")
        return outcome.measured["top1"]

    def _perform(self, operation: str, params: Mapping[str, Any], inputs: Mapping[str, InputItem], name: str) -> Any:
        say(f"{operation} -> {name}")
        return perform(
            operation,
            params,
            {**inputs, "data": self.data},
            folder=self.folder / name,
            seed=self.seed,
            threads=self.threads,
        )


def latencies(forms: Forms, *, batch: int, rounds: int, seconds: float, threads: int) -> dict[str, list[float]]:
    """Median ms of a batch in each round for FP32 and INT8 in OpenVINO, both compiled alike."""
    from zoo_openvino.runtime import compile_classifier, read_model
    from zoo_vision.agreement import preprocessing_of
    from zoo_vision.preprocessing import random_inputs

    calls = {}
    for form in ("fp32", "int8"):
        item = forms.items[form]
        preprocessing = preprocessing_of(item)
        classifier = compile_classifier(
            read_model(item),
            preprocessing,
            reference=form,
            precision_hint="f32",
            threads=threads,
            batch=batch,
        )
        inputs = random_inputs(preprocessing, batch, 0)
        calls[form] = lambda classifier=classifier, inputs=inputs: classifier(inputs)
    return interleaved_medians(calls, rounds=rounds, seconds=seconds)


def _accuracy_row(architecture: str, forms: Forms) -> list[str]:
    sizes = {form: size_of(item) / 1024 for form, item in forms.items.items()}
    weights = {form: size_of(forms.items[form], ".bin") / 1024 for form in ("fp32", "int8")}
    return [
        architecture,
        *(f"{forms.top1[form]:.2f}" for form in ("onnx", "fp32", "int8")),
        f"{forms.difference:+.2f}",
        f"{forms.top1['ort-int8']:.2f}",
        f"{forms.onnxruntime_difference:+.2f}",
        *(f"{sizes[form]:,.1f}" for form in ("onnx", "fp32", "int8")),
        f"{weights['fp32']:,.1f}",
        f"{weights['int8']:,.1f}",
        f"{weights['int8'] / weights['fp32']:.3f}",
    ]


ACCURACY_COLUMNS = (
    "network", "ONNX top-1 %", "FP32 top-1 %", "INT8 top-1 %", "INT8 - FP32", "ONNX Runtime INT8 top-1 %",
    "INT8 - ONNX", "ONNX KiB", "FP32 IR KiB", "INT8 IR KiB",
    "FP32 weights KiB", "INT8 weights KiB", "weights ratio",
)  # fmt: skip
LATENCY_COLUMNS = ("network", "batch", "threads", "FP32 ms", "INT8 ms", "INT8 / FP32", "range")


def measure(
    workshop: Workshop,
    networks: Sequence[str],
    *,
    settings: Mapping[str, Mapping[str, Any]] = SETTINGS,
    batches: Sequence[int] = BATCHES,
    rounds: int,
    seconds: float,
) -> Findings:
    """Make, evaluate and time; ``seconds`` is the length of one block."""
    options = {"data": workshop.data.reference, "seed": workshop.seed, "threads": workshop.threads}
    options |= {"rounds": rounds, "seconds": seconds, **workshop.training}
    findings = Findings("quantization", __doc__ or "", options, DISTRIBUTIONS)
    made = {network: workshop.forms_of(network) for network in networks}
    goal = Goal(relation="at most", bound=MAX_DIFFERENCE)
    rows = []
    for network, forms in made.items():
        findings.figures.append(
            Figure(name=f"{network}: |INT8 - FP32|, top-1", value=abs(forms.difference), unit="points", goal=goal)
        )
        name = f"{network}: |INT8 - float| in ONNX Runtime, top-1"
        findings.figures.append(Figure(name=name, value=abs(forms.onnxruntime_difference), unit="points", goal=goal))
    for network, forms in made.items():
        for batch in batches:
            say(f"{network}: latency, batch {batch}, {rounds} rounds of two blocks")
            found = latencies(forms, batch=batch, rounds=rounds, seconds=seconds, threads=workshop.threads)
            figure = Figure.of(f"{network}: INT8 / FP32 latency, batch {batch}", ratios(found["int8"], found["fp32"]))
            findings.figures.append(figure)
            findings.raw[f"{network} batch {batch} ms"] = found
            rows.append(_latency_row(network, batch, workshop.threads, found, figure))
    findings.table("Accuracy and size", ACCURACY_COLUMNS, (_accuracy_row(*item) for item in made.items()))
    findings.table("Latency in OpenVINO", LATENCY_COLUMNS, rows)
    if settings:
        columns = ("network", "defaults", *settings)
        rows = [_settings_row(workshop, *item, settings) for item in made.items()]
        findings.table("INT8 - FP32 in points of top-1, by the parameters of openvino.quantize", columns, rows)
    findings.raw["top1"] = {network: dict(forms.top1) for network, forms in made.items()}
    findings.notes += _notes()
    return findings


def _settings_row(
    workshop: Workshop, network: str, forms: Forms, settings: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    row = [network, f"{forms.difference:+.2f}"]
    for number, params in enumerate(settings.values()):
        top1 = workshop.quantized_top1(network, forms.items["fp32"], params, f"setting-{number}")
        row.append(f"{top1 - forms.top1['fp32']:+.2f}")
    return row


def _latency_row(
    network: str, batch: int, threads: int, found: Mapping[str, Sequence[float]], ratio: Figure
) -> list[str]:
    times = [f"{median(found[form]):.4f}" for form in ("fp32", "int8")]
    return [network, str(batch), str(threads), *times, f"{ratio.value:.3f}", ratio.range_text]


def _notes() -> Iterator[str]:
    if not INT8_INSTRUCTIONS & set(instruction_sets()):
        yield (
            "This processor has no INT8 dot products (VNNI, AMX): OpenVINO emulates them with AVX2, so INT8 brings "
            "less here than on a processor that has them."
        )


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the latency measurement.")] = 15,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one block.")] = 0.4,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs; 0: the demo's.")] = 0,
    limit_samples: Annotated[int, typer.Option(min=0, help="Train and test on so many pictures; 0: on all.")] = 0,
    few: Annotated[bool, typer.Option("--few", help="The demo's student only.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of training and calibration.")] = 0,
    samples: Annotated[Path, typer.Option(help="Where the data set is kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """INT8 against float: accuracy, latency, size."""
    data = sample_data(samples.absolute())
    budget = demo_budget(small=bool(data.note))
    training = dict(budget.training)
    if epochs:
        training["epochs"] = epochs
    if limit_samples:
        training |= {"limit_samples": limit_samples, "limit_test_samples": limit_samples}
    networks = [budget.student] if few else [budget.student, budget.teacher]
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as folder:
        workshop = Workshop(dataset_item(data), training, Path(folder), seed, usable_threads(), limit_samples or None)
        settings = {} if few else SETTINGS
        findings = measure(workshop, networks, settings=settings, rounds=rounds, seconds=seconds)
    if data.note:
        findings.notes.append(data.note)
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
