"""``torch.distill`` on real digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.plugins.zoo_torch.samples import PREPROCESSING, SMALL, Outcome, digest, fresh_model, npz_digits, perform
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.conformance import folder_digests
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_torch.distillation.hidden import HiddenLayers, Pupil
from zoo_torch.distillation.params import DistillParams
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import METADATA_KEY, save_weights

FEATURES = {"features.1": "features.1", "features.2": "features.2"}
METHODS: dict[str, dict[str, Any]] = {
    "kd": {},
    "dkd": {"method": "dkd", "dkd_beta": 2, "dkd_warmup_epochs": 2},
    "nkd": {"method": "nkd", "temperature": 1},
    "feature": {"method": "feature", "layers": FEATURES},
    # The maps have four places only, where the usual weight of 1000 is much.
    "attention and kd": {
        "method": "attention",
        "layers": FEATURES,
        "attention_weight": 10,
        "logit_method": "kd",
        "kd_weight": 0.5,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, data: InputItem) -> InputItem:
    outcome = perform(
        "torch.train",
        tmp_path_factory.mktemp("teacher"),
        {"data": data},
        architecture="zoo:conv_small",
        **{**SMALL, "epochs": 6, "limit_samples": None, "batch_size": 32},
    )
    assert outcome.measured("top1") > 90
    return outcome.item


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return fresh_model(tmp_path_factory.mktemp("base") / "student", seed=3)


def distill(
    folder: Path, data: InputItem, student: InputItem, teachers: InputItem | Sequence[InputItem], **changes: Any
) -> Outcome:
    params = {**SMALL, **changes}
    context = {name: params.pop(name) for name in ("seed", "cancelled") if name in params}
    ports = {"data": data, "student": student, "teacher": teachers}
    return perform("torch.distill", folder, ports, **context, **params)


def test_a_student_learns_from_its_teacher_alone(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    # kd_weight 1: the labels are not used at all.
    outcome = distill(tmp_path, data, student, teacher, kd_weight=1, epochs=6, limit_samples=None, batch_size=32)
    assert outcome.measured("top1") > 80


def test_without_kd_weight_it_is_plain_training(tmp_path: Path, data: InputItem, teacher: InputItem) -> None:
    trained = perform("torch.train", tmp_path / "alone", {"data": data}, seed=4, architecture="zoo:conv_tiny", **SMALL)
    distilled = distill(tmp_path / "kd", data, trained.item, teacher, kd_weight=0, seed=4)
    torch.testing.assert_close(load_file(distilled.model), load_file(trained.model))


def test_the_student_s_weights_count_only_when_asked_for(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    still = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 1}
    name = "features.0.0.weight"
    own = load_file(student.main_file)[name]
    kept = distill(tmp_path / "a", data, student, teacher, initialise="from_student", **still)
    torch.testing.assert_close(load_file(kept.model)[name], own)
    fresh = distill(tmp_path / "b", data, student, teacher, **still)
    assert (load_file(fresh.model)[name] - own).abs().max() > 0.01


def test_a_teacher_for_other_classes_is_refused_before_training(
    tmp_path: Path, data: InputItem, student: InputItem
) -> None:
    with pytest.raises(InvalidInput, match="knows 7 classes, but the data set has 10"):
        distill(tmp_path / "out", data, student, fresh_model(tmp_path / "teacher", classes=7))
    assert not (tmp_path / "out/outputs/model").exists()


def test_a_student_for_other_classes_is_refused(tmp_path: Path, data: InputItem, teacher: InputItem) -> None:
    with pytest.raises(InvalidInput, match="has 7 outputs, but the data set needs 10"):
        distill(tmp_path / "out", data, fresh_model(tmp_path / "student", classes=7), teacher)


def test_a_teacher_whose_weights_are_not_its_own_is_refused(
    tmp_path: Path, data: InputItem, student: InputItem
) -> None:
    item = fresh_model(tmp_path / "teacher", name="zoo:conv_small")
    wrong = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1)
    save_file(load_file(item.main_file), item.main_file, metadata={METADATA_KEY: wrong.model_dump_json()})
    with pytest.raises(InvalidInput, match="do not fit zoo:conv_tiny"):
        distill(tmp_path / "out", data, student, item)


@pytest.mark.parametrize("method", METHODS)
def test_teachers_and_the_student_it_began_from_are_never_changed(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, method: str
) -> None:
    before = folder_digests(teacher.folder), folder_digests(student.folder)
    distill(tmp_path, data, student, teacher, initialise="from_student", **{**METHODS[method], "epochs": 1})
    assert (folder_digests(teacher.folder), folder_digests(student.folder)) == before


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_file(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, method: str
) -> None:
    files = [
        digest(distill(tmp_path / name, data, student, teacher, seed=seed, **METHODS[method]).model)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_distillation_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, method: str
) -> None:
    params = {**METHODS[method], "augmentation": "flip"}
    whole = distill(tmp_path / "whole", data, student, teacher, **params)
    checkpoint = tmp_path / "broken/checkpoints/checkpoint"
    with pytest.raises(Cancelled):
        distill(tmp_path / "broken", data, student, teacher, cancelled=checkpoint.exists, **params)
    assert digest(distill(tmp_path / "broken", data, student, teacher, **params).model) == digest(whole.model)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "kd"])
def test_each_method_teaches_without_the_labels_weighing_much(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, method: str
) -> None:
    whole = {"epochs": 4, "limit_samples": None, "batch_size": 32, "label_weight": 0.1, "learning_rate": 0.05}
    outcome = distill(tmp_path, data, student, teacher, **{**METHODS[method], **whole})
    assert outcome.measured("top1") > 70


def test_a_second_stage_goes_on_from_the_first(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    first = distill(tmp_path / "kd", data, student, teacher)
    second = distill(
        tmp_path / "dkd", data, first.item, teacher, initialise="from_student", learning_rate=1e-9, **METHODS["dkd"]
    )
    key = "features.0.0.weight"
    torch.testing.assert_close(load_file(second.model)[key], load_file(first.model)[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("params", [{}, {"augmentation": "flip_crop", "augmentation_views": 2}])
def test_answers_that_are_kept_make_the_student_that_asking_makes(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, params: dict[str, Any]
) -> None:
    kept = distill(tmp_path / "kept", data, student, teacher, **params)
    asked = distill(tmp_path / "asked", data, student, teacher, keep_answers="never", **params)
    torch.testing.assert_close(load_file(asked.model), load_file(kept.model), rtol=1e-3, atol=1e-4)
    assert not list((tmp_path / "asked/shared_cache").iterdir())
    (tmp_path / "kept/checkpoints/checkpoint").unlink()
    again = distill(tmp_path / "kept", data, student, teacher, seed=0, temperature=2, **params)
    assert "were kept by an earlier job" in again.lines


@pytest.mark.parametrize("method", ["kd", "dkd", "nkd"])
def test_teachers_are_mixed_alike_and_mixed_labels_have_a_target(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem, method: str
) -> None:
    mixing = {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "label_smoothing": 0.1, "epochs": 1}
    outcome = distill(tmp_path, data, student, teacher, **{**METHODS[method], **mixing})
    assert outcome.measured("top1") > 0
    assert not list((tmp_path / "shared_cache").iterdir())


def test_a_student_and_teachers_of_different_offset_and_size_are_brought_together(
    tmp_path: Path, data: InputItem, teacher: InputItem
) -> None:
    background = PREPROCESSING.model_copy(update={"label_offset": 1})
    larger = Preprocessing(channels=1, resize=12, crop=(12, 12), mean=(0.5,), std=(0.5,))
    student = fresh_model(tmp_path / "student", classes=11, preprocessing=background)
    teachers = [teacher, fresh_model(tmp_path / "large", preprocessing=larger, weight=0.01)]
    for method in ("kd", "dkd"):
        params = {**METHODS[method], "epochs": 6, "limit_samples": None, "batch_size": 32}
        outcome = distill(tmp_path / method, data, student, teachers, label_weight=0.1, **params)
        assert outcome.measured("top1") > 60


def test_hidden_layers_of_several_teachers_count_by_weight(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    def made(name: str, teachers: Sequence[InputItem]) -> dict[str, torch.Tensor]:
        return load_file(distill(tmp_path / name, data, student, teachers, epochs=1, **METHODS["feature"]).model)

    silent = fresh_model(tmp_path / "silent", name="zoo:conv_small", weight=0)
    alone, beside = made("alone", [teacher]), made("beside", [teacher, silent])
    torch.testing.assert_close(alone, beside, rtol=1e-4, atol=1e-5)


def test_adapters_are_no_part_of_the_result(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    outcome = distill(tmp_path, data, student, teacher, epochs=1, **METHODS["feature"])
    assert load_file(outcome.model).keys() == load_file(student.main_file).keys()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"layer3": "features.1"}, "student@1 has no layer 'layer3'"),
        ({"features.1": "layer3"}, "made@1 has no layer 'layer3'"),
        ({"features.1": "classifier"}, r"'features\.1' gives \[24, 2, 2\] .* the teacher's \[10\]"),
    ],
)
@pytest.mark.parametrize("method", ["feature", "attention"])
def test_layers_that_do_not_exist_or_cannot_be_compared_are_named(
    tmp_path: Path,
    data: InputItem,
    student: InputItem,
    teacher: InputItem,
    *,
    method: str,
    layers: dict[str, str],
    message: str,
) -> None:
    with pytest.raises(InvalidInput, match=message):
        distill(tmp_path, data, student, teacher, method=method, layers=layers)


def test_a_student_whose_classes_are_not_those_of_the_data_set_is_refused(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    assert student.artifact is not None
    names = [f"animal {number}" for number in range(10)]
    artifact = student.artifact.model_copy(update={"details": {"classes": names}})
    with pytest.raises(InvalidInput, match=r"student .* calls class 0 'animal 0', the data set calls it '0'"):
        distill(tmp_path, data, student.model_copy(update={"artifact": artifact}), teacher)


def vit_item(folder: Path, name: str, seed: int) -> InputItem:
    """A vision transformer of 4 x 4 tokens."""
    item = fresh_model(folder, seed=seed)
    torch.manual_seed(seed)
    architecture = Architecture(name=name, num_classes=10, in_chans=1, options={"img_size": 8})
    save_weights(architecture.build(), architecture, item.main_file)
    return item


VITKD = {
    "method": "vitkd",
    "logit_method": "nkd",
    "temperature": 1,
    "nkd_gamma": 1,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "limit_samples": 128,
    "limit_test_samples": 20,
}


def test_vision_transformers_learn_by_vitkd_and_nkd_and_go_on_after_an_interruption(
    tmp_path: Path, data: InputItem
) -> None:
    student = vit_item(tmp_path / "student", "zoo:vit_tiny", 1)
    teacher = vit_item(tmp_path / "teacher", "zoo:vit_small", 2)
    before = folder_digests(teacher.folder)
    whole = distill(tmp_path / "whole", data, student, teacher, **VITKD)
    checkpoint = tmp_path / "broken/checkpoints/checkpoint"
    with pytest.raises(Cancelled):
        distill(tmp_path / "broken", data, student, teacher, cancelled=checkpoint.exists, **VITKD)
    assert digest(distill(tmp_path / "broken", data, student, teacher, **VITKD).model) == digest(whole.model)
    assert folder_digests(teacher.folder) == before
    plain = {key: value for key, value in VITKD.items() if key not in {"logit_method", "temperature", "nkd_gamma"}}
    assert digest(distill(tmp_path / "plain", data, student, teacher, **plain).model) != digest(whole.model)


def test_vitkd_of_a_convolutional_network_is_refused(
    tmp_path: Path, data: InputItem, student: InputItem, teacher: InputItem
) -> None:
    with pytest.raises(InvalidInput, match="student@1 is no vision transformer"):
        distill(tmp_path, data, student, teacher, method="vitkd")


class Tokens(nn.Module):
    """As much of a vision transformer as ViTKD looks at: a class token and patches of 4 x 4 pixels."""

    num_prefix_tokens = 1

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(1, 6, 4, 4)
        self.blocks = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        self.norm = nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.cut(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1)
        return self.norm(self.blocks(tokens))[:, 0]


def test_a_token_grid_that_is_no_square_is_refused_for_vitkd() -> None:
    def pupil(crop: tuple[int, int]) -> Pupil:
        return Pupil("team/vit@1", Tokens(), Preprocessing(channels=1, crop=crop))

    params = DistillParams(method="vitkd")
    HiddenLayers(pupil((16, 16)), [pupil((16, 16))], [1.0], params)
    with pytest.raises(InvalidInput, match="12 tokens of a picture are no square grid"):
        HiddenLayers(pupil((12, 16)), [pupil((12, 16))], [1.0], params)
    with pytest.raises(InvalidInput, match="into 16 tokens, the teacher into 9"):
        HiddenLayers(pupil((16, 16)), [pupil((12, 12))], [1.0], params)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["kd", "vitkd"])
def test_two_processes_distil_what_one_does_and_the_teacher_is_asked_once(
    tmp_path: Path, data: InputItem, method: str
) -> None:
    student = vit_item(tmp_path / "student", "zoo:vit_tiny", 1)
    # Each hidden token is drawn by chance, so a process alone would draw others; hidden all of them are the same.
    chosen = {"method": "vitkd", "vitkd_mask": 1} if method == "vitkd" else {}
    params = {**SMALL, "learning_rate": 0.01, "limit_samples": 128, **chosen}
    made = {}
    for devices in (("cpu",), ("cpu", "cpu")):
        place = Workplace.under(tmp_path / str(len(devices)))
        context = LocalContext(find_operation("torch.distill"), place, devices=devices, threads=len(devices))
        teacher = vit_item(tmp_path / f"teacher-{len(devices)}", "zoo:vit_small", 2)
        ports = {"student": (student,), "teacher": (teacher,), "data": (data,)}
        run_operation(context.spec, params, Inputs(ports=ports), context)
        made[len(devices)] = load_file(context.output() / "model.safetensors")
        assert len(list(place.shared_cache.iterdir())) == (1 if method == "kd" else 0)
    torch.testing.assert_close(made[1], made[2], rtol=1e-3, atol=1e-4)
