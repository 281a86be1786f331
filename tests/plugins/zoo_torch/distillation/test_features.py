"""Hidden layers: recorded without a trace, adapted, and compared as in the papers."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.plugins.zoo_torch.samples import build
from zoo_sdk.errors import InvalidInput
from zoo_torch.distillation.attention import attention_loss
from zoo_torch.distillation.features import FeatureTap, adapter_between, feature_loss, probe_shapes, same_size

RANDOM = np.random.default_rng(5)


def random(*shape: int) -> NDArray[np.float64]:
    return RANDOM.normal(0, 2, shape)


def float32(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values).float()


def test_a_tap_records_one_run_and_leaves_no_hook() -> None:
    network = build("zoo:conv_tiny")
    tap = FeatureTap(network, ["features.0", "features.2"], "team/student@1")
    with tap.recording() as found:
        network(torch.zeros(2, 1, 8, 8))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "features.0": (2, 12, 4, 4),
        "features.2": (2, 24, 2, 2),
    }
    assert not any(module._forward_hooks for module in network.modules())


def test_a_tap_leaves_no_hook_after_an_error() -> None:
    network = build("zoo:conv_tiny")
    with (
        pytest.raises(RuntimeError, match="channels"),
        FeatureTap(network, ["features.0"], "team/student@1").recording(),
    ):
        network(torch.zeros(2, 5, 8, 8))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidInput, match=r"team/student@1 has no layer 'layer3'.*features\.1"):
        FeatureTap(build("zoo:conv_tiny"), ["layer3"], "team/student@1")


def test_a_layer_that_is_never_called_is_named() -> None:
    network = build("zoo:conv_tiny")
    network.unused = nn.Linear(1, 1)
    with pytest.raises(InvalidInput, match="'unused' of team/student@1 gave no tensor"):
        probe_shapes(network, ["unused"], "team/student@1", torch.zeros(1, 1, 8, 8))


def test_probing_changes_neither_statistics_nor_mode() -> None:
    network = build("zoo:conv_tiny").train()
    network.features[1].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert probe_shapes(network, ["features"], "team/student@1", torch.ones(1, 1, 8, 8)) == {"features": (24, 2, 2)}
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert network.training
    assert not network.features[1].training


@pytest.mark.parametrize(
    ("student", "teacher", "kind"),
    [((8, 4, 4), (12, 2, 2), nn.Conv2d), ((16, 8), (16, 12), nn.Linear), ((8,), (12,), nn.Linear)],
)
def test_an_adapter_gives_the_student_s_feature_the_teacher_s_width(
    student: tuple[int, ...], teacher: tuple[int, ...], kind: type[nn.Module]
) -> None:
    adapter = adapter_between(student, teacher, "layer")
    assert isinstance(adapter, kind)
    own, other = same_size(torch.zeros(3, *student), torch.zeros(3, *teacher))
    assert adapter(own).shape == other.shape


@pytest.mark.parametrize(("student", "teacher"), [((8, 4, 4), (16, 8)), ((16, 8), (4, 8)), ((8,), (4, 8))])
def test_layers_of_different_kinds_are_refused(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"'layer' gives \["):
        adapter_between(student, teacher, "layer")


def test_the_feature_loss_is_the_mean_squared_difference() -> None:
    student, teacher = random(3, 4, 5, 5), random(3, 4, 5, 5)
    assert float(feature_loss(float32(student), float32(teacher))) == pytest.approx(
        ((student - teacher) ** 2).mean(), rel=1e-5
    )


def unit_maps(feature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Q / ||Q||_2 with Q = sum over channels of |A|^2: Zagoruyko and Komodakis 2017, section 3.1."""
    maps = (np.abs(feature) ** 2).sum(axis=1).reshape(len(feature), -1)
    return np.asarray(maps / np.sqrt((maps**2).sum(axis=1, keepdims=True)))


def test_the_attention_loss_is_that_of_the_paper() -> None:
    student, teacher = random(3, 4, 6, 5), random(3, 9, 6, 5)
    squares = (unit_maps(student) - unit_maps(teacher)) ** 2
    # beta / 2 * the sum, with beta = 1000 divided by the number of elements; 1000 is the weight and not in here.
    expected = 0.5 * squares.sum() / squares.size
    assert float(attention_loss(float32(student), float32(teacher))) == pytest.approx(expected, rel=1e-5)


def test_the_attention_of_tokens_is_that_of_a_map_with_as_many_places() -> None:
    student, teacher = random(3, 4, 6, 5), random(3, 9, 6, 5)

    def tokens(feature: Any) -> torch.Tensor:
        return float32(feature).flatten(2).transpose(1, 2)

    torch.testing.assert_close(
        attention_loss(tokens(student), tokens(teacher)), attention_loss(float32(student), float32(teacher))
    )
