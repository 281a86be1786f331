"""Finds out what a folder holds: which files, and which artifacts they are."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zoo_client.folders import MANIFEST_NAME, RESERVED_NAMES
from zoo_client.identifying import artifacts_in
from zoo_client.pulling import read_manifest
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import InvalidInput, NotFound
from zoo_sdk.formats import find_format
from zoo_sdk.names import checked_path
from zoo_sdk.vocabulary import Precision

MAX_FILES = 100_000


@dataclass(frozen=True)
class LocalFile:
    """A file here, and its path in the version."""

    source: Path
    path: str


def collect_files(sources: Sequence[Path]) -> list[LocalFile]:
    """The files that ``sources`` name: a file under its own name, a folder's files under their paths below it.

    Hidden files and a former pull's manifest are left out.  Links to files are followed, links to folders are not.

    Raises:
        NotFound: a source does not exist.
        InvalidInput: no file at all, too many, two of one path, or a path that the registry would refuse.

    """
    found: dict[str, LocalFile] = {}
    for source in sources:
        if not source.exists():
            raise NotFound(f"There is no file or folder {source}.", hint="Check the path.")
        for file in _files_of(source):
            checked_path(file.path)
            if file.path in found:
                raise InvalidInput(f"{file.path!r} occurs twice, the second time as {file.source}.", hint="Rename one.")
            found[file.path] = file
            if len(found) > MAX_FILES:
                raise InvalidInput(f"More than {MAX_FILES} files.", hint="Pack them into archives.")
    if not found:
        raise InvalidInput(
            f"No file in {', '.join(map(str, sources))}.", hint="Name files, or a folder that holds some."
        )
    return [found[path] for path in sorted(found)]


def _files_of(source: Path) -> Iterable[LocalFile]:
    if source.is_file():
        yield LocalFile(source, source.name)
        return
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            inside = path.relative_to(source).as_posix()
            if not name.startswith(".") and inside.split("/")[0] not in RESERVED_NAMES and path.is_file():
                yield LocalFile(path, inside)


def describe_artifacts(files: Sequence[LocalFile], precision: Precision | None = None) -> list[ArtifactDescription]:
    """One artifact for each file that is a model by its suffix, or by its bytes where the suffix may mean several.

    What belongs to it comes along: an OpenVINO ``.xml`` takes its ``.bin``, ONNX its external data, a SavedModel its
    variables, Darknet weights their configuration.  Nothing is loaded or executed.
    """
    found = []
    for kind, parts in sorted(artifacts_in({file.path: file.source for file in files}), key=lambda item: item[1]):
        name = PurePosixPath(parts[0]).stem[:100]
        runtime = find_format(kind).runtime
        found.append(ArtifactDescription(name=name, format=kind, files=parts, precision=precision, runtime=runtime))
    return found


def descriptions_of_pull(sources: Sequence[Path], files: Sequence[LocalFile]) -> list[ArtifactDescription]:
    """The descriptions in the manifest of a pulled folder, so that signature and preprocessing survive the way back."""
    paths = {file.path for file in files}
    found = []
    for source in sources:
        if source.is_dir() and (source / MANIFEST_NAME).is_file():
            for record in read_manifest(source).version.get("artifacts", []):
                fields = {key: record[key] for key in ArtifactDescription.model_fields if key in record}
                description = ArtifactDescription.model_validate(fields)
                if paths.issuperset(description.files):
                    found.append(description)
    return found
