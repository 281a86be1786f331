"""``torch.import_weights`` on the checkpoints that other people write."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.plugins.zoo_torch.importing.checkpoints import item_of, oneflow_item, saved, yolo_classes
from tests.plugins.zoo_torch.samples import Outcome, build, npz_digits, perform
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, ParityFailed, UnknownName
from zoo_torch.importing import operation
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.small import SmallNetwork
from zoo_torch.networks.weights import load_weights

NET = "zoo:conv_tiny"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return build(NET, seed=5).state_dict()


def imported(item: InputItem, folder: Path, **params: Any) -> Outcome:
    return perform("torch.import_weights", folder, {"model": item}, **params)


def report_of(outcome: Outcome) -> Any:
    return json.loads((outcome.context.output() / "import.json").read_text())


@pytest.mark.parametrize("wrapping", ["plain", "pth.tar", "legacy", "data parallel"])
def test_a_checkpoint_becomes_weights_that_name_their_network(tmp_path: Path, state: State, wrapping: str) -> None:
    content: Any = {
        "plain": state,
        "legacy": state,
        "pth.tar": {"epoch": 3, "arch": "x", "state_dict": state, "best_acc1": 71.5, "optimizer": {"state": {}}},
        "data parallel": {"model": {f"module.{name}": value for name, value in state.items()}},
    }[wrapping]
    item = saved(tmp_path / "given", content, _use_new_zipfile_serialization=wrapping != "legacy")
    outcome = imported(item, tmp_path / "made", architecture=NET)
    loaded = load_weights(outcome.item)
    assert loaded.architecture == Architecture(name=NET, num_classes=10, in_chans=1)
    assert loaded.state.keys() == state.keys()
    assert all(torch.equal(loaded.state[name], value) for name, value in state.items())
    artifact = outcome.context.artifacts["model"][0]
    assert (artifact.format, artifact.precision) == ("safetensors", "fp32")
    assert artifact.details["import"]["matched"] == len(state)
    assert outcome.measured("max_abs_diff") == 0
    assert outcome.measured("agreement_top1") == 100


def test_the_report_tells_what_became_of_every_name(tmp_path: Path, state: State) -> None:
    given = {f"student.backbone.{name}": value for name, value in state.items()}
    given |= {"student.backbone.total_ops": torch.zeros(1), "teacher.weight": torch.zeros(3)}
    item = saved(tmp_path / "given", {"state_dict": given})
    outcome = imported(item, tmp_path / "made", architecture=NET, leave_out=["teacher.*"])
    report = report_of(outcome)
    assert (report["layout"], report["tensors"], report["missing"]) == ("torch zip", len(given), [])
    assert report["renamed"]["classifier.weight"] == "student.backbone.classifier.weight"
    assert sorted(report["matched"]) == sorted(state)
    assert sorted(report["left_out"]) == ["student.backbone.total_ops", "teacher.weight"]
    assert report["rules"] == ["'student.backbone.' was taken off"]
    assert [artifact.format for artifact in outcome.context.artifacts["model"]] == ["safetensors", "json"]


def test_weights_of_old_torch_get_their_counters_back(tmp_path: Path) -> None:
    full = build("zoo:resnet_small").state_dict()
    old = {name: value for name, value in full.items() if not name.endswith("num_batches_tracked")}
    outcome = imported(saved(tmp_path / "given", old), tmp_path / "made", architecture="zoo:resnet_small")
    assert report_of(outcome)["counters"] == len(full) - len(old) > 0
    load_weights(outcome.item).build()


def test_other_names_are_mapped_by_the_caller(tmp_path: Path, state: State) -> None:
    given = {name.replace("classifier.", "head.fc.").replace("features.", "stem."): v for name, v in state.items()}
    item = saved(tmp_path / "given", given)
    with pytest.raises(InvalidInput, match=r"do not fit zoo:conv_tiny: features\.0\.0\.weight is missing"):
        imported(item, tmp_path / "refused", architecture=NET)
    renames = {"head.fc.": "classifier.", "stem.": "features."}
    outcome = imported(item, tmp_path / "made", architecture=NET, renames=renames)
    assert report_of(outcome)["renamed"]["classifier.bias"] == "head.fc.bias"


def test_names_of_an_architectures_authors_are_read_as_timm_reads_them(tmp_path: Path) -> None:
    full = build("timm:test_vit", channels=3).state_dict()
    given = full | {"patch_embed.proj.weight": full["patch_embed.proj.weight"].flatten(1)}
    item = saved(tmp_path / "given", {"model": given})
    item = item_of(item.folder, "model.pth", preprocessing=None)
    outcome = imported(item, tmp_path / "made", architecture="timm:test_vit")
    assert any("timm.models.vision_transformer" in rule for rule in report_of(outcome)["rules"])
    artifact = outcome.context.artifacts["model"][0]
    assert artifact.preprocessing is not None
    assert artifact.details["preprocessing_from"] == "timm's description of test_vit"
    assert outcome.measured("agreement_top1") == 100


def test_a_pickled_module_is_read_without_its_classes(tmp_path: Path) -> None:
    network = build(NET, seed=8).half()
    assert isinstance(network, SmallNetwork)
    with yolo_classes(SmallNetwork):
        content = {"epoch": -1, "model": network, "ema": None, "optimizer": None, "updates": 3}
        item = saved(tmp_path / "given", content, "yolov5s.pt")
    bare = imported(item, tmp_path / "bare")
    artifact = bare.context.artifacts["model"][0]
    assert (artifact.precision, "architecture" in artifact.details) == ("fp16", False)
    assert bare.measured("max_abs_diff") == 0
    found = load_file(bare.model)
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())
    full = imported(item, tmp_path / "full", architecture=NET, precision="fp32")
    assert full.context.artifacts["model"][0].precision == "fp32"
    assert load_weights(full.item).state["classifier.weight"].dtype == torch.float32


def test_another_part_of_a_checkpoint_can_be_asked_for(tmp_path: Path, state: State) -> None:
    averaged = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    item = saved(tmp_path / "given", {"model": state, "ema": averaged})
    outcome = imported(item, tmp_path / "made", architecture=NET, part="model")
    assert torch.equal(load_file(outcome.model)["classifier.bias"], state["classifier.bias"])
    with pytest.raises(InvalidInput, match="no tensors under the key 'teacher'"):
        imported(item, tmp_path / "refused", architecture=NET, part="teacher")


@pytest.mark.parametrize("keys", [("state_dict", "state_dict_ema"), ("model", "ema")])
def test_the_moving_average_of_the_weights_goes_first(tmp_path: Path, state: State, keys: tuple[str, str]) -> None:
    averaged = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    wrapped = {f"module.{name}": value for name, value in state.items()}
    outcome = imported(saved(tmp_path / "given", {keys[0]: wrapped, keys[1]: averaged}), tmp_path / "made")
    assert torch.equal(load_file(outcome.model)["classifier.bias"], state["classifier.bias"] + 1)
    assert report_of(outcome)["part"] == keys[1]
    other = saved(tmp_path / "other", {keys[0]: wrapped, keys[1]: {"decay": torch.ones(1)}})
    assert report_of(imported(other, tmp_path / "usual"))["part"] is None


@pytest.mark.parametrize(("layout", "packed"), [("A", False), ("A", True), ("B", False), ("B", True), ("C", False)])
def test_checkpoints_of_oneflow_are_read_in_each_layout(
    tmp_path: Path, state: State, layout: str, packed: bool
) -> None:
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    item = oneflow_item(tmp_path / "given", kept, layout, packed=packed)
    outcome = imported(item, tmp_path / "made", architecture=NET)
    found = load_weights(outcome.item).state
    assert all(torch.equal(found[name], value) for name, value in kept.items())
    assert report_of(outcome)["layout"].startswith(f"OneFlow {layout}")


def test_a_foreign_safetensors_file_gets_its_architecture(tmp_path: Path, state: State) -> None:
    bare = imported(saved(tmp_path / "given", state), tmp_path / "bare")
    outcome = imported(bare.item, tmp_path / "made", architecture=NET)
    load_weights(outcome.item).build()
    told = bare.item.artifact.model_copy(update={"details": {"architecture": NET}})  # type: ignore[union-attr]
    again = imported(bare.item.model_copy(update={"artifact": told}), tmp_path / "again")
    assert again.model.read_bytes() == outcome.model.read_bytes()


def test_half_precision_is_compared_within_its_tolerance(tmp_path: Path, state: State) -> None:
    data = npz_digits(tmp_path / "digits")
    item = saved(tmp_path / "given", state)
    outcome = perform(
        "torch.import_weights", tmp_path / "made", {"model": item, "data": data}, architecture=NET, precision="fp16"
    )
    assert outcome.context.artifacts["model"][0].precision == "fp16"
    assert 0 < outcome.measured("max_abs_diff") < 1e-2


def test_tied_weights_keep_both_names(tmp_path: Path) -> None:
    shared = torch.randn(4, 4)
    item = saved(tmp_path / "given", {"a.weight": shared, "b.weight": shared, "c.weight": shared.t()})
    found = load_file(imported(item, tmp_path / "made").model)
    assert torch.equal(found["a.weight"], shared)
    assert torch.equal(found["b.weight"], shared)
    assert torch.equal(found["c.weight"], shared.t())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classifier.bias": None}, r"1 missing: classifier\.bias"),
        ({"features.1.0.weight": torch.zeros(3, 3)}, r"1 of another shape: features\.1\.0\.weight is \[3, 3\], not"),
        ({"neck.weight": torch.zeros(2)}, r"1 that the network does not have: neck\.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_names(
    tmp_path: Path, state: State, change: dict[str, Any], told: str
) -> None:
    given = {name: value for name, value in (state | change).items() if value is not None}
    with pytest.raises(InvalidInput, match=told) as caught:
        imported(saved(tmp_path / "given", given), tmp_path / "made", architecture=NET)
    assert caught.value.facts["report"]["tensors"] == len(given)


def test_an_unknown_architecture_suggests_the_nearest(tmp_path: Path, state: State) -> None:
    with pytest.raises(UnknownName, match="Did you mean"):
        imported(saved(tmp_path / "given", state), tmp_path / "made", architecture="zoo:conv_tny")


def test_a_file_that_holds_something_else_fails_the_parity_gate(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = operation._stored

    def damage(given: State, precision: str | None) -> State:
        found = original(given, precision)
        return found | {"classifier.bias": found["classifier.bias"] + torch.arange(10)}

    monkeypatch.setattr(operation, "_stored", damage)
    with pytest.raises(ParityFailed, match="largest difference"):
        imported(saved(tmp_path / "given", state), tmp_path / "made", architecture=NET)
