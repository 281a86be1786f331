"""ViTKD against a transcription in numpy, and the networks that it takes."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.plugins.zoo_torch.samples import build
from zoo_sdk.errors import InvalidInput
from zoo_torch.distillation.vitkd import (
    TransformerLayout,
    ViTKD,
    ViTKDWeights,
    draw_mask,
    generation_loss,
    grid_side,
)
from zoo_torch.networks.architectures import Architecture

RANDOM = np.random.default_rng(7)
BATCH, SIDE, OWN, WIDTH = 3, 4, 5, 6
TOKENS = SIDE * SIDE
Array = NDArray[np.float64]


def convolved(grid: Array, weight: Array, bias: Array) -> Array:
    """3 x 3 with padding 1, written out: (batch, C, H, W)."""
    padded = np.pad(grid, ((0, 0), (0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(grid), len(weight), *grid.shape[2:]))
    for row in range(grid.shape[2]):
        for column in range(grid.shape[3]):
            patch = padded[:, :, row : row + 3, column : column + 3]
            result[:, :, row, column] = np.einsum("bchw,ochw->bo", patch, weight) + bias
    return result


def transcribed(module: ViTKD, student: list[Array], teacher: list[Array], masked: NDArray[np.bool_]) -> Array:
    """Yang et al. 2022: alpha L_lr + beta L_gen with alpha 2, beta 3 and lambda .5."""
    state = {key: value.double().numpy() for key, value in module.state_dict().items()}

    def linear(name: str, values: Array) -> Array:
        return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    shallow = sum(((linear(f"shallow.{k}", student[k]) - teacher[k]) ** 2).sum() for k in (0, 1)) / BATCH
    tokens = linear("deep", student[2])
    for sample in range(BATCH):
        for token in range(TOKENS):
            if masked[sample, token]:
                tokens[sample, token] = state["mask_token"][0, 0]
    grid = tokens.reshape(BATCH, SIDE, SIDE, WIDTH).transpose(0, 3, 1, 2)
    hidden = np.maximum(convolved(grid, state["generation.0.weight"], state["generation.0.bias"]), 0)
    made = convolved(hidden, state["generation.2.weight"], state["generation.2.bias"])
    generated = made.reshape(BATCH, WIDTH, TOKENS).transpose(0, 2, 1)
    deep = (((generated - teacher[2]) * masked[:, :, None]) ** 2).sum() / BATCH / 0.5
    return np.asarray(2 * shallow + 3 * deep)


@pytest.fixture
def module() -> ViTKD:
    torch.manual_seed(0)
    made = ViTKD(OWN, WIDTH, SIDE)
    torch.nn.init.normal_(made.mask_token)
    return made


def test_the_loss_is_that_of_the_paper(module: ViTKD) -> None:
    student = [RANDOM.normal(size=(BATCH, TOKENS, OWN)) for _ in range(3)]
    teacher = [RANDOM.normal(size=(BATCH, TOKENS, WIDTH)) for _ in range(3)]
    masked = draw_mask(BATCH, TOKENS, 0.5, torch.device("cpu"))
    given = ([torch.from_numpy(value).float() for value in values] for values in (student, teacher))
    found = module(*given, masked, ViTKDWeights(alpha=2, beta=3, mask=0.5))
    expected = transcribed(module, student, teacher, masked.numpy())
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_networks_of_one_width_need_no_alignment() -> None:
    names = set(ViTKD(WIDTH, WIDTH, SIDE).state_dict())
    assert names == {"mask_token", *(f"generation.{k}.{part}" for k in (0, 2) for part in ("weight", "bias"))}


def test_what_is_seen_costs_nothing_in_the_generation() -> None:
    generated, teacher = torch.zeros(1, 4, 2), torch.ones(1, 4, 2)
    masked = torch.tensor([[True, False, False, True]])
    assert float(generation_loss(generated, teacher, masked, 0.5)) == 4 / 0.5


@pytest.mark.parametrize(("share", "hidden"), [(0.5, 8), (0.3, 5), (1.0, 16)])
def test_as_many_tokens_are_hidden_as_the_share_says(share: float, hidden: int) -> None:
    masked = draw_mask(50, 16, share, torch.device("cpu"))
    assert masked.sum(dim=1).tolist() == [hidden] * 50
    if share < 1:
        assert len({tuple(row) for row in masked.tolist()}) > 10


def vit(**options: bool | float | str) -> torch.nn.Module:
    name = "timm:vit_tiny_patch16_224"
    return Architecture(name=name, num_classes=4, in_chans=3, options={"img_size": 32, **options}).build()


def test_the_tokens_of_a_transformer_are_found() -> None:
    layout = TransformerLayout.of(vit(), "team/vit@1")
    assert layout == TransformerLayout(("blocks.0", "blocks.1", "norm"), prefix=1)


def test_a_convolutional_network_is_refused() -> None:
    with pytest.raises(InvalidInput, match="team/net@1 is no vision transformer"):
        TransformerLayout.of(build("zoo:conv_tiny"), "team/net@1")


@pytest.mark.parametrize(("tokens", "message"), [((12, 12), "12 tokens.*no square grid"), ((16, 9), "into 16 tokens")])
def test_a_grid_that_is_no_square_or_not_the_same_is_refused(tokens: tuple[int, int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        grid_side(*tokens)
    assert grid_side(16, 16) == 4
