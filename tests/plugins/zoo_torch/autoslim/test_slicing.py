"""A network at a smaller width, with the very same weights."""

import pytest
import torch
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.autoslim.groups import WidthGroup, find_groups
from zoo_torch.autoslim.slicing import running_at
from zoo_torch.autoslim.subnets import extract, recalibrate
from zoo_torch.networks.architectures import Architecture

NAMES = ["zoo:conv_tiny", "zoo:resnet_small", "timm:resnet18", "timm:mobilenetv3_small_050"]


def sample(name: str) -> tuple[nn.Module, tuple[WidthGroup, ...], Tensor]:
    torch.manual_seed(0)
    channels, size = (1, 8) if name.startswith("zoo:") else (3, 32)
    network = Architecture(name=name, num_classes=10, in_chans=channels).build()
    groups = find_groups(network, Preprocessing(channels=channels, crop=(size, size)))
    return network, groups, torch.randn(6, channels, size, size)


def third(groups: tuple[WidthGroup, ...]) -> dict[str, int]:
    return {group.name: max(1, group.channels // (3 + position % 2)) for position, group in enumerate(groups)}


@pytest.mark.parametrize("name", NAMES)
def test_an_extracted_network_computes_what_the_supernet_computes_at_that_width(name: str) -> None:
    supernet, groups, pictures = sample(name)
    supernet.train()
    choice = third(groups)
    subnet = extract(supernet, groups, choice).train()
    with torch.no_grad(), running_at(supernet, groups, choice):
        torch.manual_seed(1)  # dropout
        sliced = supernet(pictures)
    torch.manual_seed(1)
    torch.testing.assert_close(subnet(pictures), sliced, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_with_the_statistics_of_its_width_it_also_predicts_the_same(name: str) -> None:
    supernet, groups, pictures = sample(name)
    choice = third(groups)
    subnet = extract(supernet, groups, choice)
    recalibrate(subnet, [pictures, pictures + 1])
    own = subnet.state_dict()
    for key, value in supernet.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value[: len(own[key])] = own[key]
    with torch.no_grad(), running_at(supernet.eval(), groups, choice):
        sliced = supernet(pictures)
    torch.testing.assert_close(subnet(pictures), sliced, rtol=1e-6, atol=1e-6)


def test_slices_share_their_memory_with_the_full_weights_and_send_gradients_to_them() -> None:
    supernet, groups, pictures = sample("zoo:resnet_small")
    convolution = supernet.get_submodule("features.2.first.0")
    full = convolution.weight
    with running_at(supernet, groups, {"features.2.first.0": 8, "features.0.0": 16}):
        assert convolution.weight.shape == (8, 16, 3, 3)
        assert convolution.weight.untyped_storage().data_ptr() == full.untyped_storage().data_ptr()
        supernet(pictures).square().sum().backward()
    assert convolution.weight is full
    assert full.grad.shape == full.shape
    assert full.grad[:8, :16].abs().sum() > 0
    assert full.grad[8:].abs().sum() == 0
    assert full.grad[:, 16:].abs().sum() == 0


def test_a_narrow_run_leaves_no_trace_in_the_statistics() -> None:
    supernet, groups, pictures = sample("timm:mobilenetv3_small_050")
    supernet.train()
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    depthwise = {name: module.groups for name, module in supernet.named_modules() if isinstance(module, nn.Conv2d)}
    with torch.no_grad(), running_at(supernet, groups, third(groups)):
        supernet(pictures)
    after = supernet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert all(supernet.get_submodule(name).groups == count for name, count in depthwise.items())


def test_the_full_network_is_back_after_an_error() -> None:
    supernet, groups, pictures = sample("zoo:conv_tiny")
    expected = supernet.eval()(pictures)
    with pytest.raises(RuntimeError), running_at(supernet, groups, third(groups)):
        supernet(torch.zeros(1, 5, 8, 8))
    torch.testing.assert_close(supernet(pictures), expected)


def test_recalibration_takes_the_plain_mean_over_batches() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1, momentum=0.1))
    network(torch.full((4, 1, 2, 2), 100.0))
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(8, 1, 4, 4, generator=generator) + shift for shift in (0, 2, 4)]
    recalibrate(network, batches)
    torch.testing.assert_close(network[0].running_mean, torch.stack([batch.mean() for batch in batches]).mean()[None])
    torch.testing.assert_close(network[0].running_var, torch.stack([batch.var() for batch in batches]).mean()[None])
    assert network[0].momentum == 0.1
    assert not network[0].training


def test_only_batch_normalisations_learn_from_recalibration() -> None:
    network = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(1))
    recalibrate(network, [torch.ones(4, 1, 2, 2)])
    assert network[1].running_mean.item() == 1
