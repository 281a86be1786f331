"""The conversions of the installed plugins, as the registry learns them from a worker."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.jobs.scenes import Hands, make_model
from tests.zoo_server.pipelines.conversions.converters import PLAN
from zoo_sdk.discovery import discover_operations
from zoo_server.accounts.models import Team

pytestmark = pytest.mark.django_db


@pytest.fixture
def installed(hands: Hands) -> Hands:
    manifests = [
        spec.manifest for name, spec in discover_operations().items() if name.startswith(("torch", "openvino"))
    ]
    answer = hands.register(*manifests, queues=sorted({manifest.queue for manifest in manifests}))
    assert answer.status_code == 200, answer.content
    return hands


@pytest.mark.parametrize(
    ("source", "to", "options", "path"),
    [
        ("pickle", "openvino-ir", True, ["torch.import_weights", "torch.export_onnx", "openvino.convert"]),
        ("oneflow", "torchscript", True, ["torch.import_weights", "torch.export_torchscript"]),
        ("pickle", "torch-export", True, ["torch.import_weights", "torch.export_program"]),
        ("pickle", "safetensors", False, ["torch.import_weights"]),
        ("pickle", "onnx", False, None),
    ],
)
def test_ways_begin_at_other_peoples_checkpoints(
    api: APIClient, installed: Hands, team: Team, source: str, to: str, options: bool, path: list[str] | None
) -> None:
    make_model(team, "given", source)
    body: dict[str, Any] = {"version": "vision/given@1", "to": to}
    if options:
        body["options"] = {"torch.import_weights": {"architecture": "timm:resnet18"}}
    answer = api.post(PLAN, body, format="json")
    assert answer.status_code == 200, answer.content
    plan = answer.json()
    assert plan["found"] is (path is not None)
    assert [step["operation"] for step in plan["steps"]] == (path or [])
    if path is None:
        assert ["needs the option torch.import_weights.architecture"] in [
            edge["reasons"] for edge in plan["unavailable"]
        ]
