"""The parts as data: which are started, with which command line and environment, with ours and with others' servers."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zoo_onebox.parts
from zoo_onebox.home import Home
from zoo_onebox.parts import Bootstrap, Options, Zoo, installed_families
from zoo_onebox.programs import Program, Task
from zoo_sdk.errors import Unavailable


@pytest.fixture(autouse=True)
def _two_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_onebox.parts, "installed_families", lambda: ["onnxruntime", "torch"])
    monkeypatch.setattr(zoo_onebox.parts, "gpu_is_present", lambda: False)


def _tasks(home: Path, external: Mapping[str, str] | None = None, **options: Any) -> dict[str, Task]:
    zoo = Zoo(Home.create(home), replace(Options(port=8123, mlflow_port=5123), **options), external or {})
    return {task.name: task for task in zoo.tasks()}


def _words(task: Task) -> str:
    return shlex.join(task.command[1:])


def test_everything_is_started_by_default(home: Path) -> None:
    assert set(_tasks(home)) == {
        "initdb", "postgres", "databases", "valkey", "migrate", "bootstrap", "signing-key", "web", "beat", "chores",
        "mlflow", "worker-onnxruntime", "worker-torch",
    }  # fmt: skip


def test_each_plugin_group_has_a_worker_on_its_own_queue(home: Path) -> None:
    worker = _tasks(home)["worker-torch"]
    assert "-m celery -A zoo_worker.app worker -Q torch.cpu -P threads -c 1 -n torch@%h" in _words(worker).replace(
        "'", ""
    )
    assert worker.environment["ZOO_WORKER_QUEUES"] == "torch.cpu"
    assert worker.environment["ZOO_URL"] == "http://127.0.0.1:8123"
    assert worker.environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5123"
    assert set(worker.secret_files) == {"ZOO_WORKER_TOKEN"}


def test_a_group_that_needs_a_gpu_has_a_worker_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tensorrt" not in installed_families()
    monkeypatch.setattr(zoo_onebox.parts, "gpu_is_present", lambda: True)
    assert {"tensorrt", "torch"} <= set(installed_families())


def test_a_worker_knows_no_database_and_no_secret_of_the_registry(home: Path) -> None:
    external = {"ZOO_DATABASE_URL": "postgresql://db/zoo", "ZOO_SECRET_KEY": "x", "ZOO_S3_SECRET_ACCESS_KEY": "y"}
    worker = _tasks(home, external)["worker-torch"]
    given = {*worker.environment, *worker.inherited, *worker.secret_files}
    assert not {"ZOO_DATABASE_URL", "ZOO_SECRET_KEY", "ZOO_S3_SECRET_ACCESS_KEY"} & given


def test_a_lost_workers_token_is_replaced(home: Path) -> None:
    assert "--new-worker-token" in _tasks(home)["bootstrap"].command
    Home(home).keep_secret("worker-token", "kept")
    assert "--new-worker-token" not in _tasks(home)["bootstrap"].command


def test_a_gpu_adds_the_gpu_queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_onebox.parts, "gpu_is_present", lambda: True)
    worker = _tasks(home)["worker-torch"]
    assert "-Q torch.cpu,torch.gpu" in _words(worker)
    assert worker.environment["ZOO_WORKER_QUEUES"] == "torch.cpu,torch.gpu"


def test_without_workers_the_registry_runs_alone(home: Path) -> None:
    assert not [name for name in _tasks(home, workers=False) if name.startswith("worker")]


@pytest.mark.parametrize(
    ("variable", "value", "absent"),
    [
        ("ZOO_DATABASE_URL", "postgresql://u:pw@db/zoo", {"initdb", "postgres", "databases"}),
        ("ZOO_BROKER_URL", "redis://:pw@broker/0", {"valkey"}),
        ("MLFLOW_TRACKING_URI", "http://u:pw@mlflow", {"mlflow"}),
    ],
)
def test_what_is_somebody_elses_is_not_started_and_its_address_is_inherited(
    home: Path, variable: str, value: str, absent: set[str]
) -> None:
    tasks = _tasks(home, {variable: value})
    assert not absent & set(tasks)
    assert variable in tasks["web"].inherited
    assert variable not in tasks["web"].environment
    for task in tasks.values():
        assert set(task.needs) <= set(tasks)
        assert "pw@" not in task.write_specification(home).read_text()


def test_with_an_external_database_mlflow_keeps_its_own(home: Path) -> None:
    mlflow = _tasks(home, {"ZOO_DATABASE_URL": "postgresql://db/zoo"})["mlflow"]
    assert mlflow.environment["MLFLOW_BACKEND_STORE_URI"].startswith("sqlite:////")


def test_s3_settings_reach_the_registry(home: Path) -> None:
    external = {"ZOO_S3_BUCKET": "zoo", "ZOO_S3_ACCESS_KEY_ID": "a", "ZOO_S3_SECRET_ACCESS_KEY": "b"}
    web = _tasks(home, external)["web"]
    assert web.environment["ZOO_S3_BUCKET"] == "zoo"
    assert {"ZOO_S3_ACCESS_KEY_ID", "ZOO_S3_SECRET_ACCESS_KEY"} <= set(web.inherited)


def test_workers_stop_first_and_postgres_last(home: Path) -> None:
    stages = {task.name: task.stop_stage for task in _tasks(home).values() if isinstance(task, Program)}
    order = ["worker-torch", "beat", "web", "mlflow", "valkey", "postgres"]
    assert [stages[name] for name in order] == sorted((stages[name] for name in order), reverse=True)
    assert stages["beat"] == stages["chores"]


def test_nothing_waits_for_mlflow(home: Path) -> None:
    tasks = _tasks(home)
    assert not tasks["mlflow"].required
    assert not [task for task in tasks.values() if "mlflow" in task.needs]


def test_an_open_address_lets_the_registry_answer_to_the_machines_names(home: Path) -> None:
    web = _tasks(home, host="0.0.0.0")["web"]
    assert "--bind 0.0.0.0:8123" in _words(web)
    assert web.environment["ZOO_URL"] == "http://127.0.0.1:8123"
    assert "127.0.0.1" in web.environment["ZOO_ALLOWED_HOSTS"].split(",")
    assert len(web.environment["ZOO_ALLOWED_HOSTS"].split(",")) > 3


def test_the_tokens_of_the_first_start_are_kept_and_told(home: Path) -> None:
    place = Home.create(home)
    bootstrap = Bootstrap(place)
    bootstrap.take('noise\n{"created": true, "admin_user": "admin", "admin_token": "A", "worker_token": "W"}\n')
    assert (bootstrap.admin_user, bootstrap.admin_token) == ("admin", "A")
    assert place.secret("worker-token").read_text() == "W"
    bootstrap.take('{"created": false, "admin_user": "admin", "admin_token": null, "worker_token": null}')
    assert bootstrap.admin_token is None
    assert place.secret("worker-token").read_text() == "W"


def test_a_lost_worker_token_is_an_error_that_says_where_it_belongs(home: Path) -> None:
    place = Home.create(home)
    with pytest.raises(Unavailable, match=r"secrets/worker-token is missing"):
        Bootstrap(place).take('{"created": false, "admin_user": "admin", "admin_token": null, "worker_token": null}')


def test_the_secret_key_is_made_once(home: Path) -> None:
    _tasks(home)
    first = (home / "secrets" / "secret-key").read_text()
    _tasks(home)
    assert (home / "secrets" / "secret-key").read_text() == first
    assert len(first) > 50
