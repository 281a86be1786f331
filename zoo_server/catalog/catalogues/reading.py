"""Reading a catalogue: bounded YAML, its shape, and whether everything that it refers to is there."""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import ValidationError

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.vocabulary import LineageRole
from zoo_server.catalog.catalogues.document import MAX_ROWS, Artifact, Catalogue, Model, Parent, Row
from zoo_server.catalog.plain_yaml import load_yaml
from zoo_server.catalog.services.lineage import DATA_ROLES, is_uri

MAX_BYTES = 1024 * 1024
SHOWN_FAULTS = 20


class InvalidCatalogue(InvalidInput):
    """The text is no catalogue; ``facts["errors"]`` lists every mistake that was found."""

    code = "invalid-catalogue"


def read_catalogue(text: str, *, file: str = "catalogue.yaml") -> Catalogue:
    """The catalogue that ``text`` holds; raises :class:`InvalidCatalogue` with all mistakes at once."""
    content = load_yaml(text, file=file, error=InvalidCatalogue, max_bytes=MAX_BYTES)
    try:
        catalogue = Catalogue.model_validate(content)
    except ValidationError as error:
        raise _invalid(file, [_shape_fault(item) for item in error.errors(include_url=False)]) from error
    faults = list(_reference_faults(catalogue))
    if faults:
        raise _invalid(file, faults)
    return catalogue


def known_catalogues() -> dict[str, Path]:
    """The catalogues that this server has, by name."""
    folder = settings.ZOO_CATALOGUES_DIR
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder.is_dir() else {}


def known_catalogue(name: str) -> Catalogue:
    """The catalogue of that name; raises :class:`UnknownName` with the nearest ones."""
    known = known_catalogues()
    if name not in known:
        raise UnknownName("catalogue", name[:100], known)
    return _read_file(known[name], known[name].stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read_file(path: Path, modified: int) -> Catalogue:  # noqa: ARG001  a changed file is another entry
    return read_catalogue(path.read_text("utf-8"), file=path.name)


def in_order(catalogue: Catalogue) -> list[tuple[Model, Row]]:
    """The rows with parents before their children; the order of the text otherwise."""
    rows = {key_of(model, row): (model, row) for model, row in catalogue.rows()}
    sorter = TopologicalSorter({key: [edge.row for edge in row.parents if edge.row] for key, (_, row) in rows.items()})
    return [rows[key] for key in sorter.static_order() if key in rows]


def key_of(model: Model, row: Row) -> str:
    """``model/key``: how edges name a row."""
    return f"{model.name}/{row.key}"


def _shape_fault(item: Any) -> dict[str, str]:
    field = ".".join(str(part) for part in item["loc"])
    return {"field": field, "message": item["msg"]}


def _invalid(file: str, faults: list[dict[str, str]]) -> InvalidCatalogue:
    shown = "; ".join(f"{fault['field'] or 'the file'}: {fault['message']}" for fault in faults[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return InvalidCatalogue(
        f"{file} is no catalogue: {shown}{more}.",
        hint="docs/catalogues.md describes the format.",
        facts={"errors": faults[:SHOWN_FAULTS]},
    )


def _reference_faults(catalogue: Catalogue) -> Iterator[dict[str, str]]:
    for kind, parts in (("datasets", catalogue.datasets), ("external", catalogue.external)):
        for name, part in parts.items():
            if not is_uri(part.uri):
                yield {"field": f"{kind}.{name}.uri", "message": f"{part.uri[:100]!r} is not a URI of a known scheme"}
    keys = [key_of(model, row) for model, row in catalogue.rows()]
    for model, row in catalogue.rows():
        for field, message in _row_faults(catalogue, row, frozenset(keys)):
            yield {"field": f"{key_of(model, row)}: {field}", "message": message}
    for message in _whole_faults(catalogue, keys):
        yield {"field": "models", "message": message}


def _whole_faults(catalogue: Catalogue, keys: list[str]) -> Iterator[str]:
    names = [model.name for model in catalogue.models]
    for key, count in (Counter(names) + Counter(keys)).items():
        if count > 1:
            yield f"{key} stands {count} times"
    if len(keys) > MAX_ROWS:
        yield f"{len(keys)} versions are more than {MAX_ROWS}"
    if len(keys) == len(set(keys)):
        try:
            in_order(catalogue)
        except CycleError as error:
            yield f"the lineage is a circle: {' <- '.join(error.args[1])}"


def _row_faults(catalogue: Catalogue, row: Row, keys: frozenset[str]) -> Iterator[tuple[str, str]]:
    names = [artifact.name for artifact in row.artifacts]
    for figure in row.metrics:
        if figure.source not in catalogue.sources:
            yield f"metrics.{figure.name}", f"there is no source {figure.source!r}"
        if figure.dataset is not None and figure.dataset not in catalogue.datasets:
            yield f"metrics.{figure.name}", f"there is no dataset {figure.dataset!r}"
        if figure.artifact is not None and figure.artifact not in names:
            yield f"metrics.{figure.name}", f"the row has no artifact {figure.artifact!r}"
    for edge in row.parents:
        message = _edge_fault(catalogue, edge, keys)
        if message:
            yield f"parents.{edge.role}", message
    for name, count in Counter(names).items():
        if count > 1:
            yield "artifacts", f"the name {name!r} stands {count} times"
    yield from _path_faults(row.artifacts)


def _edge_fault(catalogue: Catalogue, edge: Parent, keys: frozenset[str]) -> str | None:
    if sum(value is not None for value in (edge.row, edge.external, edge.dataset)) != 1:
        return "name one of row, external and dataset"
    if (edge.role in DATA_ROLES) != (edge.dataset is not None):
        return f"{edge.role} takes {'a dataset' if edge.role in DATA_ROLES else 'a row or an external model'}"
    if edge.weight is not None and edge.role is not LineageRole.TEACHER:
        return "only a teacher has a weight"
    if edge.row is not None and edge.row not in keys:
        return f"there is no row {edge.row!r}"
    if edge.external is not None and edge.external not in catalogue.external:
        return f"there is no external {edge.external!r}"
    if edge.dataset is not None and edge.dataset not in catalogue.datasets:
        return f"there is no dataset {edge.dataset!r}"
    return None


def _path_faults(artifacts: tuple[Artifact, ...]) -> Iterator[tuple[str, str]]:
    paths: list[str] = []
    for artifact in artifacts:
        for file in artifact.files:
            try:
                paths.append(file.local_path)
            except InvalidInput as error:
                yield "artifacts", f"{file.address}: {error}"
    for path, count in Counter(paths).items():
        if count > 1:
            yield "artifacts", f"two files are called {path!r}: give one a path"
