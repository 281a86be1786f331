"""The same network in every runtime: true photographs, INT8 beside float, and our operations against the tools by hand.

EfficientNet-Lite0 and -Lite2 as their packages ship them, on foolbox's 20 ImageNet photographs with their true classes.
Twenty photographs are a smoke test, no accuracy: 18 of 20 means about 70 to 97 %.  What counts is that every float form
is right on the same photographs, and how INT8 differs.  Calibrated on crops of other photographs.  By hand means NNCF's
and ONNX Runtime's own functions on the same calibration samples in the same run.  Latencies take turns in one process;
with one thread it is the processor's time, which other work on the machine changes little.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from bench.by_hand import with_nncf, with_onnxruntime
from bench.figures import Figure, Goal, ratios
from bench.machine import instruction_sets, usable_threads
from bench.operations import Outcome, perform, size_of
from bench.photographs import (
    CALIBRATED_ON,
    LITE0,
    LITE2,
    MEASURED_ON,
    Pretrained,
    pretrained,
    true_photographs,
)
from bench.quantization import INT8_INSTRUCTIONS
from bench.reporting import RESULTS, SAMPLES, Findings, say, write_report
from bench.timing import interleaved_medians, timed
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_sdk.errors import Unavailable, UnknownName
from zoo_vision.datasets import open_split

DISTRIBUTIONS = ("openvino", "nncf", "onnx", "onnxruntime", "torch", "timm", "zoo-torch", "zoo-openvino",
                 "zoo-onnxruntime")  # fmt: skip
NETWORKS = {network.name: network for network in (LITE0, LITE2)}
EXPECTED = {LITE0.name: 18, LITE2.name: 18}
"""Photographs of the 20 that the float networks get right."""
EQUAL = 1.05
"""A ratio of latencies up to here counts as equal."""
COLUMNS = ("form", "runtime", "right of 20", "among five", "as the float network", "file KiB", "largest difference")


@dataclass(frozen=True)
class Form:
    """A network in one form: what computes it, and its outputs (20, 1000) for the photographs."""

    name: str
    runtime: str
    item: InputItem
    outputs: NDArray[Any]
    seconds: float = 0.0

    def right(self, labels: NDArray[np.int64], first: int = 1) -> int:
        """Photographs whose true class is among the ``first`` choices."""
        ranked = np.argsort(-self.outputs, axis=1, kind="stable")[:, :first]
        return int((ranked == labels[:, None]).any(axis=1).sum())


@dataclass(frozen=True)
class Laboratory:
    """One network with its photographs, and where its forms are made."""

    network: Pretrained
    source: InputItem
    data: InputItem
    folder: Path
    threads: int
    samples: int
    variants: bool

    def forms(self) -> Iterator[Form]:
        """Float in every runtime, then INT8 of our operations and by hand."""
        yield Form("float, safetensors", "torch", self.source, self._in_torch())
        onnx = self._make("torch.export_onnx", {}, self.source, "onnx").made
        assert onnx is not None
        yield self._form("float, ONNX", onnx)
        ways: list[tuple[str, str, Mapping[str, Any]]] = [
            ("float, ONNX optimised", "onnxruntime.optimise", {}),
            ("float16, ONNX", "onnxruntime.convert_fp16", {}),
            ("float, IR", "openvino.convert", {}),
            ("float16 weights, IR", "openvino.convert", {"precision": "fp16"}),
            ("INT8, onnxruntime.quantize", "onnxruntime.quantize", {}),
            ("INT8, openvino.quantize", "openvino.quantize", {}),
        ]
        if self.variants:
            ways += [
                ("INT8, onnxruntime.quantize, entropy", "onnxruntime.quantize", {"calibration": "entropy"}),
                ("INT8, onnxruntime.quantize, percentile", "onnxruntime.quantize", {"calibration": "percentile"}),
                ("INT8, onnxruntime.quantize, eight bits", "onnxruntime.quantize", {"reduce_range": False}),
                ("INT8, openvino.quantize, mixed", "openvino.quantize", {"preset": "mixed"}),
                ("INT8, openvino.quantize, overflow_fix=all", "openvino.quantize", {"overflow_fix": "all"}),
            ]
        for name, operation, params in ways:
            chosen = {"samples": self.samples, "min_agreement": 0, **params} if "quantize" in operation else params
            outcome = self._make(operation, chosen, onnx, name)
            assert outcome.made is not None
            yield self._form(name, outcome.made, outcome.seconds)
        yield from self._by_hand(onnx)

    def _by_hand(self, onnx: InputItem) -> Iterator[Form]:
        assert onnx.artifact is not None
        split = open_split(self.data, "train")
        indices = split.random_indices(self.samples, 0)
        inputs, _ = next(split.batches(self.network.preprocessing, len(indices), indices=indices))
        for tool, function, files in (
            ("ONNX Runtime", with_onnxruntime, ("model.onnx",)),
            ("NNCF", with_nncf, ("model.xml", "model.bin")),
        ):
            say(f"{self.network.name}: INT8 by hand with {tool}")
            folder = self.folder / f"hand-{tool.replace(' ', '')}"
            seconds = timed(partial(function, onnx.main_file, inputs, folder))
            kind = "onnx" if len(files) == 1 else "openvino-ir"
            artifact = ArtifactDescription(format=kind, files=files, preprocessing=self.network.preprocessing)
            item = InputItem(reference=f"bench/by-hand-{kind}@1", folder=folder, artifact=artifact)
            yield self._form(f"INT8, {tool} by hand", item, seconds)

    def _make(self, operation: str, params: Mapping[str, Any], item: InputItem, name: str) -> Outcome:
        say(f"{self.network.name}: {operation} -> {name}")
        return perform(
            operation,
            params,
            {"model": item, "data": self.data},
            folder=self.folder / name.replace(" ", "-").replace(",", ""),
            seed=0,
            threads=self.threads,
        )

    def _form(self, name: str, item: InputItem, seconds: float = 0.0) -> Form:
        infer = opened(item, self.threads, batch=1)
        found = [infer(inputs) for inputs, _ in open_split(self.data, "test").batches(self.network.preprocessing, 1)]
        runtime = "ONNX Runtime" if item.artifact and item.artifact.format == "onnx" else "OpenVINO"
        return Form(name, runtime, item, np.concatenate(found), seconds)

    def _in_torch(self) -> NDArray[Any]:
        import torch

        from zoo_torch.networks.weights import load_weights

        network = load_weights(self.source).build().eval()
        split = open_split(self.data, "test")
        inputs, _ = next(split.batches(self.network.preprocessing, len(split)))
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(inputs)).numpy())


def opened(item: InputItem, threads: int, *, batch: int) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """A form in its runtime; OpenVINO with f32 pinned for what is not INT8."""
    if item.artifact is not None and item.artifact.format == "onnx":
        from zoo_onnxruntime.runtime import open_classifier

        return open_classifier(item, threads)
    from zoo_openvino.runtime import compile_classifier, read_model
    from zoo_vision.agreement import preprocessing_of

    classifier = compile_classifier(
        read_model(item), preprocessing_of(item), reference=item.reference, precision_hint="f32", threads=threads,
        batch=batch,
    )  # fmt: skip
    return lambda inputs: np.array(classifier(inputs))


LATENCIES = {
    "INT8 / FP32, OpenVINO": ("INT8, openvino.quantize", "float, IR", None),
    "INT8 / FP32, ONNX Runtime": ("INT8, onnxruntime.quantize", "float, ONNX", None),
    "INT8 of openvino.quantize / by NNCF by hand": ("INT8, openvino.quantize", "INT8, NNCF by hand", EQUAL),
    "INT8 of onnxruntime.quantize / by ONNX Runtime by hand": (
        "INT8, onnxruntime.quantize", "INT8, ONNX Runtime by hand", EQUAL,
    ),
}  # fmt: skip
"""Ratios of latencies: numerator, denominator, and the bound if there is one."""
DOT_PRODUCT_BOUNDS = {"INT8 / FP32, OpenVINO": 0.4}
"""Bounds that hold only where the processor has INT8 dot products: 2.5 times as fast."""


def measure(laboratory: Laboratory, *, rounds: int, seconds: float, options: Mapping[str, Any]) -> Findings:
    """Make every form of a network, and compare."""
    findings = Findings(f"runtimes-{laboratory.network.name}", __doc__ or "", options, DISTRIBUTIONS)
    forms = {form.name: form for form in laboratory.forms()}
    _photographs(laboratory, forms, findings)
    _latencies(laboratory, forms, findings, rounds=rounds, seconds=seconds)
    if not INT8_INSTRUCTIONS & set(instruction_sets()):
        findings.notes.append(
            "This processor has no INT8 dot products (VNNI, AMX), so INT8 brings less here than on one that has them; "
            "the goal of 2.5 times as fast is for those, and was not measured. Eight-bit weights of a channel each "
            "overflow here in ONNX Runtime (`eight bits` above), which is why `reduce_range` is on by default."
        )
    return findings


def _photographs(laboratory: Laboratory, forms: Mapping[str, Form], findings: Findings) -> None:
    labels = open_split(laboratory.data, "test").labels
    first, *_ = forms.values()
    rows = []
    for form in forms.values():
        right, same = form.right(labels), int((form.outputs.argmax(1) == first.outputs.argmax(1)).sum())
        difference = np.abs(form.outputs.astype(np.float64) - first.outputs).max()
        size = f"{size_of(form.item) / 1024:,.0f}"
        rows.append(
            [form.name, form.runtime, str(right), str(form.right(labels, 5)), str(same), size, f"{difference:.2g}"]
        )
        goal = None
        if form.name.startswith("float"):
            goal = Goal(relation="at least", bound=EXPECTED.get(laboratory.network.name, 0))
        findings.figures.append(
            Figure(name=f"{laboratory.network.name}: {form.name}: right of {len(labels)}", value=right, goal=goal)
        )
    findings.table(f"{laboratory.network.name} on {len(labels)} true photographs", COLUMNS, rows)
    ours = {"INT8, openvino.quantize": "INT8, NNCF by hand", "INT8, onnxruntime.quantize": "INT8, ONNX Runtime by hand"}
    rows = [
        [mine, f"{forms[mine].seconds:.1f}", hand, f"{forms[hand].seconds:.1f}",
         str(int((forms[mine].outputs.argmax(1) == forms[hand].outputs.argmax(1)).sum())),
         f"{np.abs(forms[mine].outputs - forms[hand].outputs).max():.3g}"]
        for mine, hand in ours.items()
    ]  # fmt: skip
    columns = ("operation (with its comparison)", "s", "by hand", "s", "same first choice of 20", "largest difference")
    findings.table(f"{laboratory.network.name}: our operations and the tools by hand", columns, rows)


def _latencies(
    laboratory: Laboratory, forms: Mapping[str, Form], findings: Findings, *, rounds: int, seconds: float
) -> None:
    inputs, _ = next(open_split(laboratory.data, "test").batches(laboratory.network.preprocessing, 1))
    needed = {name: forms[name] for pair in LATENCIES.values() for name in pair[:2]}
    say(f"{laboratory.network.name}: latency, {rounds} rounds of {len(needed)} blocks")
    # With one thread, the processor's time is the latency of an idle machine, whatever else runs here.
    clock = time.process_time if laboratory.threads == 1 else time.perf_counter
    calls = {}
    for name, form in needed.items():
        infer = opened(form.item, laboratory.threads, batch=1)
        calls[name] = lambda infer=infer: infer(inputs)
    found = interleaved_medians(calls, rounds=rounds, seconds=seconds, warmup=3, clock=clock)
    findings.raw[f"{laboratory.network.name} ms"] = found
    bounds = DOT_PRODUCT_BOUNDS if INT8_INSTRUCTIONS & set(instruction_sets()) else {}
    for name, (top, bottom, always) in LATENCIES.items():
        bound = bounds.get(name, always)
        goal = Goal(relation="at most", bound=bound) if bound else None
        figure = Figure.of(f"{laboratory.network.name}: latency, {name}", ratios(found[top], found[bottom]), goal=goal)
        findings.figures.append(figure)
    rows = [[name, f"{median(times):.2f}", f"{min(times):.2f}", f"{max(times):.2f}"] for name, times in found.items()]
    columns = ("form", "median ms", "smallest", "largest")
    how = "processor time, one thread" if laboratory.threads == 1 else f"{laboratory.threads} threads"
    findings.table(f"{laboratory.network.name}: latency of one picture ({how})", columns, rows)


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the latency measurement.")] = 15,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one block.")] = 0.5,
    calibration: Annotated[int, typer.Option(min=1, help="Calibration samples.")] = 128,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: all processors.")] = 0,
    network: Annotated[list[str] | None, typer.Option(help=f"Which: {', '.join(NETWORKS)}; default: all.")] = None,
    few: Annotated[bool, typer.Option("--few", help="The default settings only.")] = False,
    samples: Annotated[Path, typer.Option(help="Where the packages are kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """One network in every runtime, and INT8 by our operations and by hand; a report for each network."""
    for name in network or ():
        if name not in NETWORKS:
            raise typer.BadParameter(str(UnknownName("network", name, NETWORKS)))
    cache = samples.absolute() / "photographs"
    used = threads or usable_threads()
    options = {"measured_on": MEASURED_ON, "calibrated_on": CALIBRATED_ON, "calibration": calibration, "threads": used,
               "rounds": rounds, "seconds": seconds}  # fmt: skip
    for chosen in (NETWORKS[name] for name in network or NETWORKS):
        with tempfile.TemporaryDirectory(prefix="zoo-bench-") as temporary:
            try:
                laboratory = laboratory_of(chosen, cache, Path(temporary), used, calibration, variants=not few)
            except Unavailable as error:
                findings = Findings(f"runtimes-{chosen.name}", __doc__ or "", options, DISTRIBUTIONS)
                findings.notes.append(f"Nothing was measured: {error}")
            else:
                findings = measure(laboratory, rounds=rounds, seconds=seconds, options=options)
        write_report(findings.report(), results)


def laboratory_of(
    network: Pretrained, cache: Path, folder: Path, threads: int, samples: int, *, variants: bool
) -> Laboratory:
    """Fetch a network and the photographs.

    Raises:
        Unavailable: a package cannot be had.

    """
    size = network.preprocessing.resize or network.side
    data = true_photographs(cache, folder / "data", each=24, size=size)
    source = pretrained(cache, folder / "float", network)
    return Laboratory(network, source, data, folder / "made", threads, samples, variants)


if __name__ == "__main__":
    typer.run(main)
