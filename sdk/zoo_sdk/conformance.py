"""The tests that every plugin passes, a third party's too; needs the extra ``zoo-sdk[conformance]``.

In the plugin's own tests::

    from zoo_sdk.conformance import Case, PluginConformance, tiny_dataset

    def train_inputs(folder):
        return Inputs(ports={"data": (tiny_dataset(folder),)})

    class TestConformance(PluginConformance):
        distribution = "zoo-mine"
        cases = (Case("mine.train", params={"epochs": 1}, inputs=train_inputs),)

Each operation of the distribution needs at least one case: the smallest run that does its whole work, best under ten
seconds.  A case is run in this process, on the CPU, with one thread and the seed 7.
"""

# ruff: noqa: S101 (these are tests)

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, distribution
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import ENTRY_POINT_GROUP, find_operation
from zoo_sdk.errors import Cancelled, InvalidInput
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_sdk.measures import find_measure
from zoo_sdk.messages import EventBody, ProgressEvent
from zoo_sdk.operations import OperationManifest, OperationSpec

SEED = 7
UNKNOWN_PARAMETER = "parameter_that_nobody_has"
FRAMEWORKS = frozenset(
    {
        "torch",
        "torchvision",
        "timm",
        "tensorflow",
        "keras",
        "jax",
        "onnx",
        "onnxruntime",
        "openvino",
        "nncf",
        "tensorrt",
    }
    | {"sklearn", "scipy", "pandas", "cv2", "PIL", "numpy", "mlflow", "django", "celery"}
)
"""What importing specs must not import: the registry and a worker's agent would pay for it in every process."""


@dataclass(frozen=True)
class Case:
    """The smallest run of an operation: parameters, and a function that makes the inputs in the folder it is given."""

    operation: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Callable[[Path], Inputs] = lambda _: Inputs(ports={})


@dataclass
class Run:
    """A run and what came of it.  ``written``: paths outside the workplace that were opened for writing."""

    context: LocalContext
    events: list[EventBody]
    written: list[str]

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of every output file by ``port/path``."""
        return folder_digests(self.context.place.outputs)


class PluginConformance:
    """Subclass it as ``Test...`` with ``distribution`` and ``cases``; see the module's text."""

    distribution: ClassVar[str]
    """Name of the plugin's distribution, whose entry points are examined."""
    cases: ClassVar[tuple[Case, ...]]
    forbidden_modules: ClassVar[frozenset[str]] = FRAMEWORKS

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per case, or per operation."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=[case.operation for case in self.cases], scope="class")
        elif "spec" in metafunc.fixturenames:
            points = entry_points_of(self.distribution)
            metafunc.parametrize("spec", [find_operation(point.name) for point in points], ids=lambda spec: spec.name)

    @pytest.fixture(scope="class")
    @classmethod
    def case_spec(cls, case: Case) -> OperationSpec:
        """The operation of the case."""
        return find_operation(case.operation)

    @pytest.fixture(scope="class")
    @classmethod
    def case_inputs(cls, case: Case, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
        """The inputs of the case, made once."""
        return case.inputs(tmp_path_factory.mktemp("inputs"))

    @pytest.fixture(scope="class")
    @classmethod
    def completed(
        cls, case: Case, case_spec: OperationSpec, case_inputs: Inputs, tmp_path_factory: pytest.TempPathFactory
    ) -> Run:
        """One run of the case, which several tests look at."""
        return perform(case_spec, case.params, case_inputs, Workplace.under(tmp_path_factory.mktemp("place")))

    # What an operation says about itself

    def test_every_operation_is_found_and_has_a_case(self) -> None:
        offered = {point.name for point in entry_points_of(self.distribution)}
        assert offered, f"{self.distribution} has no entry point in the group {ENTRY_POINT_GROUP!r}"
        assert {case.operation for case in self.cases} == offered

    def test_specs_import_no_framework(self) -> None:
        modules = sorted({point.module for point in entry_points_of(self.distribution)})
        imports = "; ".join(f"import {module}" for module in modules)
        code = f"import json, sys; {imports}; print(json.dumps(sorted(sys.modules)))"
        loaded = json.loads(
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        )
        found = self.forbidden_modules.intersection(loaded)
        assert not found, f"importing {', '.join(modules)} imports {', '.join(sorted(found))}"

    def test_every_parameter_is_described_and_every_number_bounded(self, spec: OperationSpec) -> None:
        faults = [fault for name, schema in _parameters(spec.manifest.params_schema) for fault in _faults(name, schema)]
        assert not faults, "; ".join(faults)

    def test_the_parameter_schema_is_valid_and_the_manifest_survives_json(self, spec: OperationSpec) -> None:
        jsonschema.Draft202012Validator.check_schema(spec.manifest.params_schema)
        again = OperationManifest.model_validate_json(spec.manifest.model_dump_json())
        assert again == spec.manifest
        assert again.digest == spec.manifest.digest

    def test_summary_and_ports_are_described(self, spec: OperationSpec) -> None:
        assert spec.summary, f"{spec.name} has no summary"
        silent = [port.name for port in spec.inputs if not port.description]
        assert not silent, f"the inputs {silent} have no description"
        kinds = [port.name for port in (*spec.inputs, *spec.outputs) if port.kind == "model" and not port.formats]
        assert not kinds, f"the model ports {kinds} name no format"

    def test_the_schema_agrees_with_the_parameters(self, case: Case, case_spec: OperationSpec) -> None:
        validator = jsonschema.Draft202012Validator(case_spec.manifest.params_schema)
        validator.validate(dict(case.params))
        case_spec.parse_params(dict(case.params))
        assert not validator.is_valid({**case.params, UNKNOWN_PARAMETER: 1})

    def test_an_unknown_parameter_is_refused_by_name(
        self, case: Case, case_spec: OperationSpec, case_inputs: Inputs, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidInput, match=UNKNOWN_PARAMETER):
            perform(case_spec, {**case.params, UNKNOWN_PARAMETER: 1}, case_inputs, Workplace.under(tmp_path))

    def test_a_missing_required_input_is_refused_by_name(
        self, case: Case, case_spec: OperationSpec, case_inputs: Inputs, tmp_path: Path
    ) -> None:
        for port in case_spec.inputs:
            if port.required:
                others = Inputs(ports={name: items for name, items in case_inputs.ports.items() if name != port.name})
                with pytest.raises(InvalidInput, match=port.name):
                    perform(case_spec, case.params, others, Workplace.under(tmp_path / port.name))

    # What it does

    def test_it_makes_what_its_outputs_promise(self, case_spec: OperationSpec, completed: Run) -> None:
        for port in case_spec.outputs:
            made = completed.context.artifacts.get(port.name, [])
            assert made or not port.required, f"the output {port.name!r} was not made"
            formats = {artifact.format for artifact in made}
            assert formats <= set(port.formats), f"{port.name!r} promises {port.formats}, but got {sorted(formats)}"

    def test_every_output_file_belongs_to_an_artifact(self, completed: Run) -> None:
        declared = {
            f"{port}/{path}"
            for port, artifacts in completed.context.artifacts.items()
            for artifact in artifacts
            for path in artifact.files
        }
        assert set(completed.digests) == declared

    def test_it_measures_what_it_says_it_measures(self, case_spec: OperationSpec, completed: Run) -> None:
        inputs = {port.name for port in case_spec.inputs}
        for measurement in completed.context.measurements:
            find_measure(measurement.name)
            assert measurement.dataset_port is None or measurement.dataset_port in inputs
        if any(port.measured for port in case_spec.inputs):
            assert completed.context.measurements, "a port is marked as measured, but nothing was"

    def test_its_progress_reaches_its_total(self, completed: Run) -> None:
        progress = [event for event in completed.events if isinstance(event, ProgressEvent)]
        assert progress, "no progress was reported"
        assert progress[-1].done == progress[-1].total > 0
        assert all(0 <= event.done <= event.total for event in progress)

    def test_it_writes_below_its_workplace_only(self, completed: Run) -> None:
        assert not completed.written

    def test_it_leaves_its_inputs_as_they_were(
        self, case: Case, case_inputs: Inputs, completed: Run, tmp_path: Path
    ) -> None:
        assert completed.context.spec.name == case.operation
        fresh = case.inputs(tmp_path)
        for port, items in case_inputs.ports.items():
            for before, after in zip(fresh.many(port), items, strict=True):
                assert folder_digests(after.folder) == folder_digests(before.folder), f"{port!r} was changed"

    def test_the_same_seed_gives_the_same_files(
        self, case: Case, case_spec: OperationSpec, case_inputs: Inputs, completed: Run, tmp_path: Path
    ) -> None:
        second = perform(case_spec, case.params, case_inputs, Workplace.under(tmp_path))
        assert set(second.digests) == set(completed.digests)
        if case_spec.deterministic:
            assert second.digests == completed.digests

    def test_it_goes_on_from_its_last_checkpoint(
        self, case: Case, case_spec: OperationSpec, case_inputs: Inputs, completed: Run, tmp_path: Path
    ) -> None:
        place = completed.context.place
        again = Workplace(tmp_path / "scratch", tmp_path / "outputs", place.checkpoints, place.shared_cache)
        again.scratch.mkdir()
        again.outputs.mkdir()
        resumed = perform(case_spec, case.params, case_inputs, again)
        assert set(resumed.digests) == set(completed.digests)
        if case_spec.deterministic:
            assert resumed.digests == completed.digests

    def test_a_cancelled_job_stops_before_it_makes_anything(
        self, case: Case, case_spec: OperationSpec, case_inputs: Inputs, tmp_path: Path
    ) -> None:
        context = LocalContext(case_spec, Workplace.under(tmp_path), seed=SEED, cancelled=lambda: True)
        with pytest.raises(Cancelled):
            run_operation(case_spec, case.params, case_inputs, context)
        assert not context.artifacts


def perform(spec: OperationSpec, params: Mapping[str, Any], inputs: Inputs, place: Workplace) -> Run:
    """Run an operation in this process and collect what it reported and wrote."""
    events: list[EventBody] = []
    context = LocalContext(spec, place, seed=SEED, emit=events.append)
    allowed = (place.scratch, place.outputs, place.checkpoints, place.shared_cache)
    with _temporary_files_below(place.scratch), _watched_writes(allowed) as written:
        run_operation(spec, params, inputs, context)
    return Run(context, events, written)


def entry_points_of(name: str) -> list[EntryPoint]:
    """The operations that an installed distribution offers."""
    return [point for point in distribution(name).entry_points if point.group == ENTRY_POINT_GROUP]


def folder_digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below ``folder`` by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def tiny_dataset(folder: Path, *, classes: int = 10, samples: int = 60, size: int = 8) -> InputItem:
    """A data set of grey ``size`` x ``size`` pictures (IDX), with the splits train and test of ``samples`` each.

    A class is a bright row or column on noise, so that even a minimal network learns something.  Equal arguments give
    equal files.
    """
    folder = folder / "tiny-dataset"
    folder.mkdir(parents=True)
    source = random.Random(SEED)  # noqa: S311 (pictures, not secrets)
    splits = {}
    for split in ("train", "test"):
        labels = [index % classes for index in range(samples)]
        pixels = bytearray()
        for label in labels:
            line, across = divmod(label, 2)
            for row in range(size):
                for column in range(size):
                    bright = (row if across else column) == line % size
                    pixels.append(source.randrange(60) + (180 if bright else 0))
        header = b"\0\0\x08\x03" + b"".join(number.to_bytes(4, "big") for number in (samples, size, size))
        (folder / f"{split}-images.idx").write_bytes(header + pixels)
        (folder / f"{split}-labels.idx").write_bytes(b"\0\0\x08\x01" + samples.to_bytes(4, "big") + bytes(labels))
        splits[split] = {"images": f"{split}-images.idx", "labels": f"{split}-labels.idx"}
    names = tuple(f"line {number}" for number in range(classes))
    description = DatasetDescription(format="idx", classes=names, splits=splits)
    return InputItem(reference="conformance/tiny-dataset@1", folder=folder, dataset=description)


def _parameters(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every property of a params schema, those of nested models too, with what its ``$ref`` says merged in."""
    definitions = schema.get("$defs", {})
    for owner, part in (("", schema), *definitions.items()):
        for name, given in part.get("properties", {}).items():
            referred = definitions.get(given.get("$ref", "").removeprefix("#/$defs/"), {})
            yield (f"{owner}.{name}" if owner else name), {**referred, **given}


def _faults(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if not schema.get("description"):
        yield f"{name} has no description"
    for variant in (schema, *schema.get("anyOf", ())):
        if variant.get("type") in {"integer", "number"} and "enum" not in variant and "const" not in variant:
            if not {"minimum", "exclusiveMinimum"} & set(variant):
                yield f"{name} has no lower bound"
            if not {"maximum", "exclusiveMaximum"} & set(variant):
                yield f"{name} has no upper bound"


@contextmanager
def _temporary_files_below(folder: Path) -> Iterator[None]:
    """Make :mod:`tempfile` use the scratch folder, as a worker does through TMPDIR."""
    former = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = former


_watchers: list[Callable[[str, tuple[Any, ...]], None]] = []
_WRITING_FLAGS = 0x3 | 0x40  # O_WRONLY, O_RDWR and O_CREAT on Linux
_CHANGING_EVENTS = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"})


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    for watcher in _watchers:
        watcher(event, arguments)


@cache
def _install_audit_hook() -> None:
    """An audit hook cannot be removed again, so there is one, and it is idle without a watcher."""
    sys.addaudithook(_audit)


@contextmanager
def _watched_writes(allowed: tuple[Path, ...]) -> Iterator[list[str]]:
    """Collect the paths outside ``allowed`` that Python code changes.

    Python's audit events see what goes through the interpreter; a C library that writes on its own is not seen.
    Byte code caches of modules that are imported for the first time do not count, nor do the kernel's switches of this
    process below ``/proc/self``.
    """
    _install_audit_hook()
    roots = tuple(str(path.resolve()) for path in allowed)
    found: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        changing = event in _CHANGING_EVENTS or (event == "open" and bool((arguments[2] or 0) & _WRITING_FLAGS))
        # A link changes the folder that it is made in, not what it leads to.
        changed = arguments[1 if event in {"os.link", "os.symlink"} else 0] if changing else None
        if not isinstance(changed, str | bytes):
            return
        path = str(Path(changed.decode() if isinstance(changed, bytes) else changed).absolute())
        if not path.startswith((*roots, "/dev/", "/proc/self/")) and "__pycache__" not in path:
            found.append(path)

    _watchers.append(watch)
    try:
        yield found
    finally:
        _watchers.remove(watch)
