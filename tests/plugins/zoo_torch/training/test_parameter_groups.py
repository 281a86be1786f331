"""What is trained, at which rate."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from tests.plugins.zoo_torch.samples import build
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.training.parameter_groups import Frozen, layer_shares, make_optimizer, match_layouts
from zoo_torch.training.params import TrainParams


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_and_normalisations_are_not_decayed(optimizer: str) -> None:
    params = TrainParams.model_validate({"optimizer": optimizer, "weight_decay": 0.3})
    decayed, exempt = make_optimizer(build("zoo:conv_tiny"), params).param_groups
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.3, 0)
    assert {parameter.ndim for parameter in exempt["params"]} == {1}
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}


def test_what_a_network_exempts_by_name_is_not_decayed() -> None:
    network = build("timm:vit_tiny_patch16_224", channels=3)
    groups = make_optimizer(network, TrainParams(weight_decay=0.3)).param_groups
    exempt = [id(one) for group in groups if group["weight_decay"] == 0 for one in group["params"]]
    assert id(network.pos_embed) in exempt
    assert id(network.patch_embed.proj.weight) not in exempt  # type: ignore[union-attr]


def test_companions_are_trained_at_the_full_rate() -> None:
    companion = nn.Linear(2, 2)
    params = TrainParams(layer_decay=0.5)
    groups = make_optimizer(build("zoo:conv_tiny"), params, [companion]).param_groups
    shares = [group["rate_share"] for group in groups if any(one is companion.weight for one in group["params"])]
    assert shares == [1]


def test_each_layer_of_a_small_network_learns_slower_than_the_next() -> None:
    shares = layer_shares(build("zoo:conv_tiny"), 0.5)
    assert shares["classifier.weight"] == shares["classifier.bias"] == 1
    assert shares["features.2.0.weight"] == 0.5
    assert shares["features.0.0.weight"] == shares["features.0.1.bias"] == 0.125


def test_a_timm_network_says_itself_what_its_layers_are() -> None:
    shares = layer_shares(build("timm:vit_tiny_patch16_224", channels=3), 0.75)
    assert shares["head.weight"] == 1
    assert shares["blocks.11.mlp.fc2.weight"] == pytest.approx(0.75)
    assert shares["blocks.0.attn.qkv.weight"] == pytest.approx(0.75**12)
    assert shares["pos_embed"] == shares["patch_embed.proj.weight"] == pytest.approx(0.75**13)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("zoo:resnet_tiny_18", "classifier"),
        ("zoo:vit_tiny", "head"),
        ("timm:mobilenetv3_small_050", "classifier"),
        ("timm:convnext_atto", "head.fc"),
    ],
)
def test_the_frozen_backbone_leaves_the_classifier(name: str, head: str) -> None:
    network = build(name)
    Frozen(network, ["backbone"])
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert trained == [f"{head}.weight", f"{head}.bias"]


def test_frozen_modules_stay_in_evaluation_mode() -> None:
    network = build("zoo:conv_tiny")
    frozen = Frozen(network, ["features.0"])
    network.train()
    frozen.apply(network)
    states = {name: module.training for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert states == {"features.0.1": False, "features.1.1": True, "features.2.1": True}


def test_a_module_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean .*features\.0"):
        Frozen(build("zoo:conv_tiny"), ["feature.0"])


def test_freezing_everything_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to train"):
        Frozen(build("zoo:conv_tiny"), ["features", "classifier"])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", ["zoo:resnet_small", "timm:mobilenetv2_050"])
def test_fused_steps_are_torch_s_plain_ones_in_any_memory_layout(
    name: str, layout: torch.memory_format, optimizer: str
) -> None:
    params = TrainParams.model_validate({"optimizer": optimizer, "learning_rate": 0.01})
    channels = 3 if name.startswith("timm") else 1
    network = build(name, channels=channels).to(memory_format=layout)  # type: ignore[call-overload]
    plain = copy.deepcopy(network)
    fused = make_optimizer(network, params)
    decays = [{"params": [], "weight_decay": group["weight_decay"]} for group in fused.param_groups]
    twins = dict(zip(map(id, network.parameters()), plain.parameters(), strict=True))
    for group, decay in zip(fused.param_groups, decays, strict=True):
        decay["params"] = [twins[id(one)] for one in group["params"]]
    kinds = {"sgd": lambda: SGD(decays, 0.01, 0.9, nesterov=True), "adamw": lambda: AdamW(decays, 0.01, (0.9, 0.999))}
    steps = ((network, fused), (plain, kinds[optimizer]()))
    inputs = torch.randn(4, channels, 32, 32).to(memory_format=layout)
    for one, stepped in steps:
        one(inputs).square().mean().backward()
        for _ in range(3):
            stepped.step()
    torch.testing.assert_close(dict(network.named_parameters()), dict(plain.named_parameters()))


def test_momentum_that_comes_in_another_memory_layout_is_brought_into_the_weight_s() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    weight.grad = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    optimizer = SGD([weight], 0.1, momentum=0.9, fused=True)
    optimizer.step()
    momentum = optimizer.state[weight]["momentum_buffer"].contiguous()
    optimizer.state[weight]["momentum_buffer"] = momentum.clone()
    expected = weight.detach() - 0.1 * (0.9 * momentum + weight.grad)
    match_layouts(optimizer)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), expected)
