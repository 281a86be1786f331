"""What changes the digest of an environment, and what does not."""

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_worker.stand_in_registry import StandInRegistry
from zoo_sdk.operations import Resources
from zoo_worker import determinants, machine
from zoo_worker.agent import Agent
from zoo_worker.determinants import determinants_of, digest_of, environment_digests, source_digest
from zoo_worker.gpus import Gpu

OPERATION = "probe.environment"


def digest(resources: Resources | None = None) -> str:
    return digest_of(determinants_of(OPERATION, resources or Resources()))


def test_the_same_machine_has_the_same_digest_again(probe_plugin: Path) -> None:
    assert digest() == digest()
    facts = determinants_of(OPERATION, Resources())
    assert facts["distributions"]["probe"] == "1.0"
    assert facts["gpus"] == []


def test_the_plugin_is_named_with_a_digest_of_what_is_installed(probe_plugin: Path) -> None:
    info = probe_plugin / "probe-1.0.dist-info"
    assert machine.plugin_of(OPERATION, {}) == {"name": "probe", "version": "1.0"}
    (info / "RECORD").write_text("probe_operations.py,sha256=x,1\n")
    installed = machine.plugin_of(OPERATION, {})
    assert (installed["digest_of"], len(installed["sha256"])) == ("RECORD", 71)
    edited = machine.plugin_of(OPERATION, {"probe": "sha256:1"})
    assert (edited["digest_of"], edited["sha256"]) == ("source", "sha256:1")
    assert machine.plugin_of("probe.absent", {}) == {}


def test_no_name_path_or_time_is_in_it(probe_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    monkeypatch.setenv("HOSTNAME", "elsewhere")
    monkeypatch.chdir(tmp_path)
    text = json.dumps(determinants_of(OPERATION, Resources()))
    assert digest() == before
    for word in (os.uname().nodename, str(tmp_path), str(Path.home())):
        assert word not in text or len(word) < 3


def test_another_version_of_the_plugin_changes_it_while_the_worker_runs(probe_plugin: Path) -> None:
    before = digest()
    (probe_plugin / "probe-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.1\n")
    (probe_plugin / "probe-1.0.dist-info").rename(probe_plugin / "probe-1.1.dist-info")
    assert determinants_of(OPERATION, Resources())["distributions"]["probe"] == "1.1"
    assert digest() != before


def test_the_code_of_a_distribution_that_is_being_edited_counts(probe_plugin: Path) -> None:
    before = digest()
    origin = {"url": probe_plugin.as_uri(), "dir_info": {"editable": True}}
    info = probe_plugin / "probe-1.0.dist-info"
    (info / "direct_url.json").write_text(json.dumps(origin))
    (probe_plugin / "installed-anew").touch()  # an installer writes into the folder
    edited = digest()
    assert edited != before
    source = probe_plugin / "probe_operations.py"
    source.write_text(f"{source.read_text()}\n# another line\n")
    assert digest() != edited


def test_compiled_files_and_hidden_folders_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1\n")
    before = source_digest(tmp_path)
    for path in ("__pycache__/module.pyc", ".git/config.py", "made.egg-info/PKG.py", "README.md"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("x")
    assert source_digest(tmp_path) == before
    (tmp_path / "other.py").write_text("x = 1\n")
    assert source_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("name", "value"),
    [("usable_threads", 63), ("vector_instructions", ("avx9000",))],
)
def test_threads_and_vector_instructions_change_it(
    probe_plugin: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    before = digest()
    monkeypatch.setattr(determinants, name, lambda: value)
    assert digest() != before


def test_an_operation_that_takes_one_thread_is_the_same_on_any_number(
    probe_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(Resources(threads=1))
    monkeypatch.setattr(determinants, "usable_threads", lambda: 63)
    assert digest(Resources(threads=1)) == before


def test_kind_and_driver_of_the_given_gpus_count_and_cache_sizes_never(
    probe_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(*gpus: Gpu) -> str:
        return digest_of(determinants_of(OPERATION, Resources(max_gpus=2), gpus))

    plain, card = digest(), Gpu("GPU-1", "NVIDIA H100", "580.1")
    monkeypatch.setattr(machine, "usable_memory_bytes", lambda: 1)
    assert on() == plain
    assert on(card) != plain
    assert on(card) == on(replace(card, uuid="GPU-2")) == on(card, replace(card, uuid="GPU-3"))
    assert on(replace(card, driver="590.0")) != on(card)
    assert on(replace(card, name="NVIDIA A100")) != on(card)


def test_variables_that_choose_kernels_change_it(probe_plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert digest() != before


def test_registration_and_report_say_the_same_digest(
    probe_plugin: Path, registry: StandInRegistry, make_agent: Callable[..., Agent]
) -> None:
    agent = make_agent()
    job = registry.submit(OPERATION)
    assert agent.run(str(job.id)) == "FINISHED"
    report = job.finished[0]
    told = registry.registrations[0].environment_digests
    assert told[OPERATION] == report.environment_digest == report.environment["digest"]
    assert set(told) == {item.name for item in registry.registrations[0].operations}
    assert told == environment_digests(registry.registrations[0].operations).without_gpus


def test_a_plugin_that_changes_while_it_runs_leaves_no_digest(
    probe_plugin: Path, registry: StandInRegistry, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = registry.submit(OPERATION)

    readings = itertools.count(2)
    monkeypatch.setattr(determinants, "usable_threads", lambda: next(readings))
    assert agent.run(str(job.id)) == "FINISHED"
    report = job.finished[0]
    assert report.environment_digest is None
