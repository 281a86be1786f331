"""The running server has no framework, no plugin and no worker in memory, and never unpickles."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo_server.live import database_url

FORBIDDEN = {
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "tensorflow",
    "keras",
    "mlflow",
    "numpy",
    "safetensors",
    "zoo_worker",
    "zoo_client",
    "zoo_vision",
    "zoo_torch",
    "zoo_onnxruntime",
    "zoo_openvino",
    "zoo_tensorrt",
    "zoo_tflite",
    "zoo_darknet",
    "zoo_keras",
    "zoo_onebox",
    "zoo_demo",
}
PROBE = """
import json, sys
from zoo_server.config.wsgi import application
from django.test import Client
import zoo_server.config.celery
import zoo_server.artifacts.chores
client = Client(headers={"host": "127.0.0.1"})
statuses = {path: client.get(path).status_code for path in ("/healthz", "/", "/api/v1/", "/api/v1/models",
    "/api/v1/operations", "/api/schema", "/admin/login/")}
print(json.dumps({"statuses": statuses, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
SERVER = Path(__file__).parents[2] / "zoo_server"


@pytest.mark.django_db(transaction=True)
def test_the_server_process_holds_no_framework_no_plugin_and_no_worker():
    environ = os.environ | {"ZOO_DATABASE_URL": database_url()}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environ, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["statuses"].values()) == {200}, found["statuses"]
    assert FORBIDDEN & set(found["modules"]) == set()


def test_no_module_of_the_server_calls_an_unpickler():
    calls = ("pickle.load", "pickle.loads", "Unpickler(", "joblib.load", "torch.load", "marshal.load", "eval(", "exec(")
    sources = {path: path.read_text() for path in SERVER.rglob("*.py")}
    assert len(sources) > 50
    found = [f"{path.relative_to(SERVER)}: {call}" for path, text in sources.items() for call in calls if call in text]
    assert found == []


def test_celery_takes_nothing_but_json():
    from zoo_server.config.celery import app

    assert app.conf.accept_content == ["json"]
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")
