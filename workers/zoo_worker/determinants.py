"""What of this machine can change a result: the facts, and their digest, on which the registry's result cache is built.

In are the things that decide which instructions run, and in which order numbers are added: Python and its C library,
the distribution that offers the operation and all that it requires, the processor's architecture and vector
instructions (kernels are chosen by them), the number of threads (a parallel sum depends on how it is split), for an
attempt with GPUs their kinds and drivers (their number is part of the job), and the variables by which libraries choose
kernels.

Out are the things that only decide where and how fast: names, paths, times, clock rates, memory.

The version of a distribution stands for its code, except where it is installed for editing: there the code counts.
"""

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from zoo_sdk.operations import OperationManifest, Resources
from zoo_worker.gpus import Gpu
from zoo_worker.machine import distributions_of, usable_threads

VECTOR_INSTRUCTIONS = frozenset(
    {
        "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
        "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
        "asimd", "asimdhp", "asimddp", "sve", "sve2", "i8mm", "bf16",
    }
)  # fmt: skip
"""Those by which numerical libraries choose among their kernels."""
KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "NCCL_ALGO", "NCCL_PROTO", "NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
SOURCE_SUFFIXES = frozenset({".py", ".so", ".json", ".yaml", ".toml"})
LEFT_OUT_FOLDERS = frozenset({"__pycache__", "build", "dist", "node_modules"})
MAX_SOURCE_FILES = 20_000


def determinants_of(
    operation: str,
    resources: Resources,
    gpus: Sequence[Gpu] = (),
    *,
    digest_of_sources: Callable[[Path], str] | None = None,
) -> dict[str, Any]:
    """The facts for one operation, as plain data, read anew: an installation may change under a running worker.

    ``gpus``: those that are given to an attempt at it.
    """
    installed = installation()
    distributions = dict(distributions_of(operation, installed))
    roots = {name: root for name in distributions if (root := _edited_folder(name, installed))}
    read = digest_of_sources or source_digest
    threads = usable_threads()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "machine": platform.machine(),
        "vector_instructions": list(vector_instructions()),
        "threads": min(threads, resources.threads or threads),
        "gpus": sorted({gpu.kind for gpu in gpus}),
        "variables": {name: os.environ[name] for name in KERNEL_VARIABLES if name in os.environ},
        "distributions": distributions,
        "sources": {name: read(root) for name, root in roots.items()},
    }


def digest_of(determinants: Mapping[str, Any]) -> str:
    """``sha256:`` of the canonical JSON."""
    text = json.dumps(determinants, sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(text.encode()).hexdigest()}"


class EnvironmentDigests(NamedTuple):
    """By operation, the digest of what can change the results of attempts without GPUs, and of those with some."""

    without_gpus: dict[str, str]
    with_gpus: dict[str, str]


def environment_digests(operations: Sequence[OperationManifest], gpus: Sequence[Gpu] = ()) -> EnvironmentDigests:
    """Those of a worker that gives ``gpus``: if they are of several kinds, nobody knows which ones a job will get."""
    read = cache(source_digest)  # once for all operations of a plugin, and not kept: source may change

    def digests(chosen: Iterable[OperationManifest], given: Sequence[Gpu]) -> dict[str, str]:
        facts = {
            item.name: determinants_of(item.name, item.resources, given, digest_of_sources=read) for item in chosen
        }
        return {name: digest_of(item) for name, item in facts.items()}

    on_gpus = [item for item in operations if item.resources.max_gpus] if len({gpu.kind for gpu in gpus}) == 1 else []
    return EnvironmentDigests(
        without_gpus=digests([item for item in operations if not item.resources.gpus], ()),
        with_gpus=digests(on_gpus, gpus),
    )


def installation() -> tuple[tuple[str, int], ...]:
    """A value that differs once something was installed or removed: when the folders of packages were changed."""
    places = []
    for entry in sys.path:
        try:
            places.append((entry, Path(entry or ".").stat().st_mtime_ns))
        except OSError:
            continue
    return tuple(places)


@cache
def vector_instructions() -> tuple[str, ...]:
    """The processor's, as far as libraries choose by them; empty where the kernel does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ()
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return tuple(sorted(VECTOR_INSTRUCTIONS & set(found[1].split()))) if found else ()


@lru_cache(maxsize=10_000)
def _edited_folder(name: str, _installation: Hashable) -> Path | None:
    """The folder of a distribution that is installed for editing; None for any other."""
    try:
        origin = json.loads(distribution(name).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin.get("url", "")).path))


def source_digest(root: Path) -> str:
    """A digest of the source files below a folder, by path and content."""
    found = sha256()
    for count, path in enumerate(_source_files(root)):
        if count >= MAX_SOURCE_FILES:
            break
        status = path.stat()
        line = f"{path.relative_to(root).as_posix()} {_file_digest(path, status.st_mtime_ns, status.st_size)}\n"
        found.update(line.encode())
    return f"sha256:{found.hexdigest()}"


def _source_files(root: Path) -> Iterable[Path]:
    for folder, folders, names in os.walk(root):
        kept = (item for item in folders if not item.startswith(".") and item not in LEFT_OUT_FOLDERS)
        folders[:] = sorted(item for item in kept if not item.endswith(".egg-info"))
        for name in sorted(names):
            if Path(name).suffix in SOURCE_SUFFIXES:
                yield Path(folder, name)


@lru_cache(maxsize=MAX_SOURCE_FILES)
def _file_digest(path: Path, _modified_ns: int, _size: int) -> str:
    return sha256(path.read_bytes()).hexdigest()
