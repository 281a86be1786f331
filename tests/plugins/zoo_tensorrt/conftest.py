"""Every test here has a machine with a GPU, or so :mod:`zoo_tensorrt` believes."""

import os
from collections.abc import Iterator

import pytest

from tests.plugins.zoo_tensorrt.stand_in import CALLS, TENSORRT, Cuda, nvidia_smi
from zoo_tensorrt import machine


@pytest.fixture(scope="package", autouse=True)
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cuda]:
    """The stand-in for CUDA's runtime."""
    own, folder = Cuda(), tmp_path_factory.mktemp("bin")
    nvidia_smi(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "tensorrt", lambda: TENSORRT)
        patch.setattr(machine, "cuda_runtime", lambda: own)
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield own
    CALLS.clear()
