"""``zoo webhook`` against the real registry, whose chore sends to a real receiver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_server.webhooks.receiver import receiving

from .conftest import Registry, Template, running_registry

ONE_ROUND = (
    "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'zoo_server.config.settings'; django.setup(); "
    "from zoo_server.webhooks.chores import tell; tell()"
)


@pytest.fixture(scope="module")
def telling(template: Template, tmp_path_factory: pytest.TempPathFactory):
    """A registry that may send to this machine."""
    folder = tmp_path_factory.mktemp("telling")
    with running_registry(template, folder, "telling", ZOO_WEBHOOK_NETWORKS="127.0.0.0/8") as made:
        yield made


def send_due(registry: Registry) -> None:
    command = [sys.executable, "-c", ONE_ROUND]
    subprocess.run(command, env=os.environ | registry.environ, check=True, capture_output=True, timeout=120)


def test_a_webhook_from_its_making_to_its_removal(zoo: Zoo, telling: Registry, tmp_path: Path):
    def run(*words: str) -> object:
        done = zoo("webhook", *words, "--json", ZOO_URL=telling.url, ZOO_TOKEN=telling.admin_token)
        assert done.code == 0, done.err
        return done.json

    team = telling.team
    with receiving() as receiver:
        made = run("add", team, f"{receiver.url}/zoo", "--event", "version.sealed", "--description", "chat")
        identifier = made["id"]
        (tmp_path / "x.txt").write_text("x")
        words = ("push", f"{team}/told", str(tmp_path / "x.txt"), "--seal")
        assert zoo(*words, ZOO_URL=telling.url, ZOO_TOKEN=telling.admin_token).code == 0
        send_due(telling)
        (got,) = receiver.got
        assert got.is_signed_with(made["secret"])
        assert f"{team}/told@1".encode() in got.body
        fresh = run("rotate", team, identifier)["secret"]
        run("test", team, identifier)
        (row,) = run("deliveries", team, identifier, "--state", "delivered")["results"]
        run("redeliver", team, identifier, row["id"])
        send_due(telling)
        assert all(item.is_signed_with(fresh) for item in receiver.got[1:])
        assert len(receiver.got) == 3
        shown = run("deliveries", team, identifier, "--show", row["id"])
        assert [item["status"] for item in shown["attempts"]] == [204, 204]
        assert run("edit", team, identifier, "--inactive", "--event", "job.*")["active"] is False
        assert [item["id"] for item in run("list", team)] == [identifier]
        run("remove", team, identifier)
        assert run("list", team) == []
