"""docker-compose.yml and the Dockerfiles: the schema, pinned images, no root, no secrets, the same parts as `zoo up`.

``compose-spec.schema.json`` is the Compose Specification's (Apache-2.0), as shipped by the npm package dclint 3.1.0.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from zoo_onebox.home import Home
from zoo_onebox.parts import Options, Zoo

from .compose_file import ROOT, VARIABLE, compose_text, example_variables, services

SERVICES = services()
ONE_SHOT = {"migrate", "bootstrap", "signing-key"}
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))


def test_the_compose_file_follows_the_compose_specification() -> None:
    schema = json.loads(Path(__file__).with_name("compose-spec.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(compose_text()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_pinned_tag(name: str) -> None:
    image = re.sub(r"\$\{ZOO_VERSION:-([^}]+)\}", r"\1", SERVICES[name]["image"])
    assert re.search(r":\d+\.\d+", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_runs_without_root_and_without_privileges(name: str) -> None:
    service = SERVICES[name]
    dockerfile = service.get("build", {}).get("dockerfile")
    if dockerfile:
        stages = re.split(r"^FROM ", (ROOT / dockerfile).read_text(encoding="utf-8"), flags=re.MULTILINE)
        target = service["build"].get("target", "worker")
        (stage,) = [text for text in stages if re.match(rf"\S+ AS {target}\n", text)]
        assert re.search(r"^USER zoo$", stage, re.MULTILINE)
    else:
        assert str(service["user"]).split(":")[0] not in {"root", "0"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_service_has_a_health_check_and_is_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_secrets_come_from_the_environment_file_only() -> None:
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items():
            if re.search(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY|DATABASE_URL|BROKER_URL|STORE_URI", variable):
                assert "${" in value, f"{name}: {variable}"
    assert not [
        name for name, value in example_variables().items() if value and re.search("PASSWORD|TOKEN|SECRET", name)
    ]


def test_a_worker_gets_neither_database_nor_secret_key() -> None:
    for name, service in SERVICES.items():
        if name.startswith("worker-"):
            assert not {"ZOO_DATABASE_URL", "ZOO_SECRET_KEY", "ZOO_S3_SECRET_ACCESS_KEY"} & set(service["environment"])


def test_every_variable_of_the_compose_file_is_in_the_example() -> None:
    used = {match[2] for match in VARIABLE.finditer(compose_text()) if match[2]}
    assert used == set(example_variables())


def test_every_named_volume_is_declared_and_used() -> None:
    declared = set(yaml.safe_load(compose_text())["volumes"])
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert {name for name in mounted if not name.startswith(".")} == declared


def test_every_plugin_has_a_worker() -> None:
    plugins = {
        path.name.removeprefix("zoo_") for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").exists()
    }
    assert {name.removeprefix("worker-") for name in SERVICES if name.startswith("worker-")} == plugins


def test_the_command_lines_are_those_of_the_one_machine_zoo(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_onebox.parts.gpu_is_present", lambda: False)
    families = ["torch", "onnxruntime", "openvino", "darknet", "keras", "tflite"]
    monkeypatch.setattr("zoo_onebox.parts.installed_families", lambda: families)
    external = {"ZOO_DATABASE_URL": "postgresql://db/zoo", "ZOO_BROKER_URL": "redis://broker"}
    tasks = Zoo(Home.create(home), Options(host="0.0.0.0", port=8080, mlflow_port=5000), external).tasks()
    only_here = {"--without-mingle", "--without-gossip", "--new-worker-token"}
    for task in tasks:
        assert task.command[0] == sys.executable
        ours = [word for word in task.command[1:] if word not in only_here]
        ours = ["/tmp/beat-schedule" if word.endswith("/beat-schedule") else word for word in ours]
        if task.name == "mlflow":
            ours[ours.index("--host") + 1] = "0.0.0.0"
        assert SERVICES[task.name]["command"] == ["python", *ours], task.name


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_images_are_small_pinned_and_checked(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    outside = [base for base in bases if base not in re.findall(r" AS (\S+)", text)]
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base) for base in outside)
    assert len(bases) > 2
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert installs
    assert all("--constraint constraints.txt" in line for line in installs)
    final = text[text.rindex("\nFROM ") :]
    assert "HEALTHCHECK" in final
    assert "\nUSER zoo\n" in final
