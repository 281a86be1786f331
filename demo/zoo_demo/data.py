"""The demo's data: Fashion-MNIST from Debian's package, else scikit-learn's digits with a loud note."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class SampleData:
    """A data set on disk, ready to be registered.  ``note`` is what the reader must know about it, if anything."""

    name: str
    title: str
    licence: str
    format: Literal["idx", "npz"]
    files: Sequence[Path]
    classes: Sequence[str]
    note: str = ""


def sample_data(cache: Path) -> SampleData:
    """Fashion-MNIST if it can be had, else the digits with a note that says where Fashion-MNIST was looked for."""
    looked: list[str] = []
    for folder in (DEBIAN_FOLDER, cache / "fashion-mnist"):
        looked.append(str(folder))
        if _is_complete(folder):
            return _fashion_mnist(folder)
    fetched = _fetch_package(cache / "fashion-mnist", looked)
    if fetched:
        return _fashion_mnist(fetched)
    return _digits(cache / "digits", looked)


def _fashion_mnist(folder: Path) -> SampleData:
    return SampleData(
        name="fashion-mnist",
        title="Fashion-MNIST: 70,000 grey 28x28 pictures of clothes in 10 classes",
        licence="MIT",
        format="idx",
        files=[folder / name for name in FASHION_FILES],
        classes=FASHION_CLASSES,
    )


def _is_complete(folder: Path) -> bool:
    return all(
        (folder / name).is_file() and sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in FASHION_FILES.items()
    )


def _fetch_package(target: Path, looked: list[str]) -> Path | None:
    """Download and unpack Debian's package without root (`apt-get download`, `dpkg -x`); None where that fails."""
    looked.append(f"Debian package {PACKAGE} (apt-get download)")
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        looked[-1] += ": no apt-get here"
        return None
    work = target.with_name("fashion-mnist.partial")
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    private = [  # lists of our own: works as any user, and where nobody ran `apt-get update` yet
        "-o", f"Dir::State={work / 'state'}", "-o", "Dir::State::status=/var/lib/dpkg/status",
        "-o", f"Dir::Cache={work / 'cache'}", "-o", "APT::Sandbox::User=",
    ]  # fmt: skip
    try:
        for arguments in (["update"], ["download", PACKAGE]):
            subprocess.run(
                ["apt-get", "-qq", *private, *arguments], cwd=work, check=True, capture_output=True, timeout=120
            )
        package = next(work.glob(f"{PACKAGE}_*.deb"))
        subprocess.run(["dpkg", "-x", package.name, "unpacked"], cwd=work, check=True, capture_output=True, timeout=60)
        found = work / "unpacked" / DEBIAN_FOLDER.relative_to("/")
        if not _is_complete(found):
            looked[-1] += ": its files are not the known ones"
            return None
        shutil.rmtree(target, ignore_errors=True)
        found.rename(target)
    except subprocess.CalledProcessError as error:
        looked[-1] += f": {error.stderr.decode(errors='replace').strip()[-200:] or error}"
        return None
    except (OSError, StopIteration, subprocess.TimeoutExpired) as error:
        looked[-1] += f": {error}"
        return None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _digits(folder: Path, looked: Sequence[str]) -> SampleData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images = images.repeat(4, axis=1).repeat(4, axis=2)[:, 2:30, 2:30]
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1437], order[1437:]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "digits.npz"
    np.savez_compressed(
        path,
        train_images=images[train],
        train_labels=digits.target[train],
        test_images=images[test],
        test_labels=digits.target[test],
    )
    note = (
        "Fashion-MNIST could not be had, so this run uses scikit-learn's 1,797 digits, enlarged to 28x28. "
        "Its figures say that Zoo works, nothing about the methods. Looked in: " + "; ".join(looked)
    )
    print(f"NOTE: {note}", file=sys.stderr)
    return SampleData(
        name="digits",
        title="scikit-learn's 1,797 handwritten digits, 28x28",
        licence="BSD-3-Clause",
        format="npz",
        files=[path],
        classes=[str(digit) for digit in range(10)],
        note=note,
    )
