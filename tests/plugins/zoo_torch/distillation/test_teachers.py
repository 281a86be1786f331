"""Teachers: frozen, each behind its own preprocessing, folded without changing what they say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.plugins.zoo_torch.samples import PREPROCESSING, build, fresh_model, npz_digits
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_torch.distillation.features import FeatureTap
from zoo_torch.distillation.folding import folded
from zoo_torch.distillation.teachers import Classroom, Teacher, Teachers, load_teacher, load_teachers
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import save_weights
from zoo_torch.training.batches import Batch, as_inputs
from zoo_torch.training.mixing import Mixing
from zoo_torch.training.params import TrainingParams
from zoo_torch.training.precision import MixedPrecision
from zoo_vision.datasets import ImageSplit, open_split

CPU = torch.device("cpu")
PRECISION = MixedPrecision.of(TrainingParams(), CPU)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ImageSplit:
    return open_split(npz_digits(tmp_path_factory.mktemp("digits")), "train")


def room(split: ImageSplit) -> Classroom:
    return Classroom(split, PREPROCESSING, CPU)


def together(*members: Teacher, student: Preprocessing = PREPROCESSING) -> Teachers:
    return Teachers(members, student, CPU, PRECISION)


def batch_of(split: ImageSplit, count: int, mixing: Mixing | None = None) -> Batch:
    return Batch(split.images[:count], torch.arange(count), torch.from_numpy(split.labels[:count]), mixing)


def asked(teachers: Teachers, batch: Batch) -> list[torch.Tensor]:
    return teachers.logits(batch, as_inputs(batch, teachers.student, CPU))


def brightness_model(folder: Path, preprocessing: Preprocessing, *, outputs: int) -> InputItem:
    """A network whose output k is k times the mean of its inputs: what it answers can be worked out by hand."""
    folder.mkdir(parents=True)
    architecture = Architecture(name="zoo:conv_tiny", num_classes=outputs, in_chans=1)
    network = architecture.build()
    for unit in network.features:
        nn.init.zeros_(unit[0].weight)
        # The centre of the first filter only: strided, it sees every fourth pixel in each direction.
        unit[0].weight.data[0, 0, 1, 1] = 1
        unit[1].eps = 0
    nn.init.zeros_(network.classifier.bias)
    nn.init.zeros_(network.classifier.weight)
    network.classifier.weight.data[:, 0] = torch.arange(outputs)
    save_weights(network, architecture, folder / "model.safetensors")
    item = fresh_model(folder / "description", preprocessing=preprocessing, classes=outputs)
    return item.model_copy(update={"folder": folder})


def test_label_offset_and_own_normalisation_by_hand(tmp_path: Path) -> None:
    pictures = np.zeros((2, 8, 8), np.uint8)
    pictures[0], pictures[1] = 100, 200
    source = open_split(npz_digits(tmp_path / "data"), "train")
    # Raw pixels with a background class at 0, and pixels scaled to 0..1, then (x - .25) / .5.
    raw = Preprocessing(channels=1, crop=(8, 8), scale=1, mean=(50,), std=(10,), label_offset=1)
    scaled = Preprocessing(channels=1, crop=(8, 8), scale=1 / 200, mean=(0.25,), std=(0.5,))
    members = load_teachers(
        [brightness_model(tmp_path / "raw", raw, outputs=11), brightness_model(tmp_path / "own", scaled, outputs=10)],
        room(source),
    )
    batch = Batch(pictures, torch.arange(2), torch.zeros(2, dtype=torch.int64))
    first, second = asked(together(*members), batch)
    # (100 - 50) / 10 = 5 and (200 - 50) / 10 = 15; output 0 is the background, so class k is k + 1 times that.
    np.testing.assert_allclose(
        first.numpy(), [[5 * k for k in range(1, 11)], [15 * k for k in range(1, 11)]], rtol=1e-4
    )
    # (.5 - .25) / .5 = .5 and (1 - .25) / .5 = 1.5, class k is k times that.
    np.testing.assert_allclose(second.numpy(), [[0.5 * k for k in range(10)], [1.5 * k for k in range(10)]], rtol=1e-4)


def test_a_teacher_of_another_input_size_sees_the_same_pictures_through_its_own(
    tmp_path: Path, split: ImageSplit
) -> None:
    other = Preprocessing(channels=1, resize=12, crop=(12, 12), mean=(0.5,), std=(0.5,))
    member = load_teacher(fresh_model(tmp_path / "m", preprocessing=other), room(split))
    answer = asked(together(member), batch_of(split, 16))[0]
    images, _ = next(split.batches(other, 16))
    with torch.no_grad():
        expected = member.network(torch.from_numpy(images))
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("box", [None, (0.25, 0.0, 0.75, 0.5)])
def test_mixed_pictures_are_mixed_alike_for_every_teacher(tmp_path: Path, split: ImageSplit, box: Any) -> None:
    mixing = Mixing(torch.tensor([2, 3, 1, 0]), 0.75, box)
    batch = batch_of(split, 4, mixing)
    other = Preprocessing(channels=1, crop=(8, 8), scale=1, mean=(30.0,), std=(90.0,))
    alike, unlike = (
        load_teacher(fresh_model(tmp_path / name, preprocessing=preprocessing), room(split))
        for name, preprocessing in (("alike", PREPROCESSING), ("unlike", other))
    )
    answers = asked(together(alike, unlike), batch)
    for member, answer in zip((alike, unlike), answers, strict=True):
        plain = as_inputs(batch.pictures, member.preprocessing, CPU)
        with torch.no_grad():
            expected = member.network(mixing.apply(plain))
        torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(answer, member.network(plain), atol=1e-3)


def test_nothing_of_a_teacher_takes_part_in_training(tmp_path: Path, split: ImageSplit) -> None:
    members = load_teachers([fresh_model(tmp_path / str(seed), seed=seed) for seed in (1, 2)], room(split))
    before = [{key: value.clone() for key, value in member.network.state_dict().items()} for member in members]
    teachers, batch = together(*members), batch_of(split, 32)
    inputs = as_inputs(batch, PREPROCESSING, CPU).requires_grad_()
    taps = [FeatureTap(member.network, ["features.1"], member.reference) for member in members]
    answers, layers = teachers.observe(batch, inputs, taps)
    answers += teachers.logits(batch, inputs)
    student = torch.zeros(32, 10, requires_grad=True)
    (sum((student - answer).square().mean() for answer in answers) + student.sum()).backward()
    assert student.grad is not None
    for tensor in (*answers, *(value for found in layers for value in found.values())):
        assert not tensor.requires_grad
        assert tensor.grad_fn is None
        assert not tensor.is_inference()
    assert inputs.grad is None
    for member, state in zip(members, before, strict=True):
        assert not any(module.training for module in member.network.modules())
        assert all(not one.requires_grad and one.grad is None for one in member.network.parameters())
        torch.testing.assert_close(member.network.state_dict(), state, rtol=0, atol=0)


def test_a_teacher_of_other_names_or_another_order_of_classes_is_refused(tmp_path: Path, split: ImageSplit) -> None:
    item = fresh_model(tmp_path / "m")
    assert item.artifact is not None

    def named(classes: list[str]) -> InputItem:
        artifact = item.artifact.model_copy(update={"details": {"classes": classes}})  # type: ignore[union-attr]
        return item.model_copy(update={"artifact": artifact})

    names = list(split.classes)
    load_teacher(named(names), room(split))
    with pytest.raises(InvalidInput, match=f"calls class 3 '{names[4]}', the data set calls it '{names[3]}'"):
        load_teacher(named([*names[:3], names[4], names[3], *names[5:]]), room(split))


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0)])
def test_weights_that_are_no_shares_are_refused(
    tmp_path: Path, split: ImageSplit, weights: tuple[float, float]
) -> None:
    items = [fresh_model(tmp_path / str(number), weight=weight) for number, weight in enumerate(weights)]
    with pytest.raises(InvalidInput, match="weights"):
        load_teachers(items, room(split))


def with_statistics(network: nn.Module, channels: int, size: int) -> nn.Module:
    """Running statistics that are not 0 and 1, as after training."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.momentum = 1.0
    network.train()(3 * torch.randn(16, channels, size, size) + 1)
    return network.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize(
    ("name", "channels", "size", "count"),
    [("zoo:resnet_medium", 1, 16, 9), ("timm:mobilenetv2_050", 3, 64, 52), ("timm:vit_tiny_patch16_224", 3, 224, 0)],
)
def test_folding_changes_no_answer(name: str, channels: int, size: int, count: int) -> None:
    network = with_statistics(build(name, channels=channels), channels, size)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    sample = torch.randn(4, channels, size, size)
    made, pairs = folded(network, sample)
    assert pairs == count
    assert sum(isinstance(module, nn.BatchNorm2d) for module in made.modules()) == 0
    torch.testing.assert_close(made(sample), network(sample), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_a_layer_that_is_looked_at_stays_what_it_is() -> None:
    network = with_statistics(build("zoo:conv_tiny"), 1, 8)
    sample = torch.randn(4, 1, 8, 8)
    made, pairs = folded(network, sample, ["features.1.0"])
    assert pairs == 2
    with FeatureTap(made, ["features.1.0"], "a/b@1").recording() as found:
        made(sample)
    with FeatureTap(network, ["features.1.0"], "a/b@1").recording() as expected:
        network(sample)
    torch.testing.assert_close(found["features.1.0"], expected["features.1.0"], rtol=1e-4, atol=1e-4)


class Branching(nn.Module):
    """Uses a convolution's output beside its normalisation, or runs what tracing cannot follow."""

    def __init__(self, *, by_value: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.by_value = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), by_value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        between = self.conv(x)
        if self.by_value:
            return self.norm(between).mean(dim=(2, 3)) if x.sum() > 0 else between.mean(dim=(2, 3))
        return (self.norm(between) + between).mean(dim=(2, 3))


@pytest.mark.parametrize("by_value", [False, True])
def test_what_cannot_be_folded_stays_as_it_is(*, by_value: bool) -> None:
    network = with_statistics(Branching(by_value=by_value), 1, 8)
    assert folded(network, torch.randn(2, 1, 8, 8)) == (network, 0)


def test_a_teacher_that_answers_with_no_numbers_is_refused(tmp_path: Path, split: ImageSplit) -> None:
    folder = tmp_path / "m"
    item = fresh_model(folder)
    network = build("zoo:conv_tiny")
    nn.init.constant_(network.classifier.bias, torch.nan)
    save_weights(network, Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1), folder / "model.safetensors")
    with pytest.raises(InvalidInput, match="m@1 answers with values that are no finite numbers"):
        load_teacher(item, room(split))
