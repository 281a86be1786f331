"""A few tiny files to a few targets: what is identified, converted, closed or failed stands in the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.matrix import running
from bench.matrix.rendering import render
from bench.matrix.running import Row, Walk, evaluator_of
from bench.matrix.ways import Effort, Source, Target, all_targets, way
from bench.reporting import Findings
from tests.plugins.zoo_darknet.generated import CLASSIFIER, write_network
from tests.plugins.zoo_torch.importing.checkpoints import saved
from tests.plugins.zoo_torch.samples import build
from tests.zoo_vision.samples import npz_digits, onnx_item, write_digits_model
from zoo_sdk.vocabulary import Precision

ONNX, IR, TFLITE = (Target(name, Precision.FP32) for name in ("onnx", "openvino-ir", "tflite"))
INT8, PLAN = Target("onnx", Precision.INT8), Target("tensorrt-plan", Precision.FP32)
OPTIMISED = Target("onnx", Precision.FP32, "onnxruntime.optimise")
SCRIPT = Target("torchscript", Precision.FP32)
EFFORT = Effort(parity_samples=8, calibration=8)


def row(source: Source, folder: Path, targets: Sequence[Target]) -> Row:
    folder.mkdir()
    return Walk(source, folder, EFFORT, gpus=0).row(targets)


def tables(rows: Sequence[Row], targets: Sequence[Target]) -> tuple[Findings, list[dict[str, str]], list[str]]:
    """The findings, the matrix by column, and the notes."""
    findings = Findings("matrix", "", {}, ())
    render(findings, rows, targets)
    matrix, notes = findings.tables[:2]
    return findings, [dict(zip(matrix.columns, line, strict=True)) for line in matrix.rows], [n[1] for n in notes.rows]


def digits(folder: Path, **changes: Any) -> Source:
    item = onnx_item(write_digits_model(folder / "digits.onnx"))
    return Source("digits.onnx", "made here", item, **changes)


def test_the_targets_are_what_the_edges_of_all_plugins_lead_to() -> None:
    targets = all_targets()
    assert {ONNX, IR, TFLITE, INT8, PLAN, SCRIPT, OPTIMISED, Target("openvino-ir", Precision.INT8)} <= set(targets)
    assert len({str(target) for target in targets}) == len(targets)
    assert not {"pickle", "keras-h5", "darknet"} & {target.format for target in targets}


def test_each_format_is_evaluated_by_its_own_runtime() -> None:
    found = {name: evaluator_of(name) for name in ("onnx", "openvino-ir", "torchscript", "keras-h5", "darknet")}
    assert found == {
        "onnx": "onnxruntime.evaluate", "openvino-ir": "openvino.evaluate", "torchscript": "torch.evaluate",
        "keras-h5": "keras.evaluate", "darknet": None,
    }  # fmt: skip


def test_what_a_source_or_a_machine_lacks_closes_a_way(tmp_path: Path) -> None:
    source = digits(tmp_path)
    assert way(source, IR, gpus=0).start
    (lacking,) = way(source, INT8, gpus=0).unavailable
    assert lacking.reasons == ("needs a data set for its input 'data'",)
    (building,) = way(source, PLAN, gpus=0).unavailable
    assert "this machine has no GPU (plans are built and run on an NVIDIA GPU)" in building.reasons[0]
    none = way(source, SCRIPT, gpus=0)
    assert (none.start, none.unavailable) == (None, ())


def test_tiny_files_become_a_table_of_parities_and_hits(tmp_path: Path) -> None:
    targets = (ONNX, IR, TFLITE, INT8, PLAN, SCRIPT, OPTIMISED)
    sources = (
        digits(tmp_path, data=npz_digits(tmp_path / "data"), labelled=True, right=400),
        Source("net.weights", "made here", write_network(tmp_path / "darknet", CLASSIFIER)),
    )
    findings, (first, second), notes = tables(
        [row(source, tmp_path / f"{number}", targets) for number, source in enumerate(sources)], targets
    )
    hits = first["itself"]
    assert hits.endswith("/500")
    assert int(hits.partition("/")[0]) > 400
    assert first["onnx fp32"] == "is it"
    for column in ("openvino-ir fp32", "tflite fp32", "optimise"):
        assert first[column].endswith(f", 100 %; {hits}"), column
    assert first["torchscript fp32"] == "no way"
    assert first["tensorrt-plan fp32"] == "closed [1]"
    assert "has no GPU" in notes[0]
    # Without preprocessing, the Darknet network cannot be opened by what needs pictures.
    assert second["onnx fp32"].endswith(", 100 %")
    assert second["openvino-ir fp32"].startswith("**FAILED** [")
    assert any("does not say how a picture becomes its input" in note for note in notes)
    values = {figure.name: figure.value for figure in findings.figures}
    assert values["source files identified as what they are"] == 2
    assert values["pairs of source and target"] == 14
    assert values["digits.onnx: right in the float form that is right least often"] > 400
    edges = [line for line in findings.tables[3].rows if line[0] == "digits.onnx"]
    assert {line[7] for line in edges if line[1] in {"tflite.convert", "openvino.convert"}} == {
        f"{first_macs(findings):,}"
    }


def first_macs(findings: Findings) -> int:
    return int(findings.raw["rows"][0]["evaluation"]["macs"])


def test_a_failing_edge_is_shown_and_taken_once(tmp_path: Path) -> None:
    item = saved(tmp_path / "given", build("zoo:conv_tiny").state_dict())
    options = {"torch.import_weights": {"architecture": "zoo:mlp_small"}}
    source = Source("wrong.pth", "made here", item, options=options)
    found = row(source, tmp_path / "made", (ONNX, IR))
    findings, (line,), notes = tables([found], (ONNX, IR))
    assert found.identified
    assert {line["onnx fp32"], line["openvino-ir fp32"]} == {"**FAILED** [1]"}
    assert notes[0].startswith("torch.import_weights: ")
    values = {figure.name: figure.value for figure in findings.figures}
    assert (values["edges taken"], values["edges that failed"]) == (1, 1)
    assert values["pairs whose way ended in an error"] == 2


def test_a_fault_of_a_converter_is_a_result_with_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(running, "perform", broken)
    (cell,) = row(digits(tmp_path), tmp_path / "made", (IR,)).cells
    assert cell.error == "IndexError: list index out of range"
