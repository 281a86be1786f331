"""The admin pages of pipelines: every table opens, actions go through the services, and a form runs recipes."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.zoo_server.factories import make_user
from tests.zoo_server.jobs.scenes import Hands
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import BRANCHED, CHAIN
from tests.zoo_server.pipelines.recipes.texts import DISTIL, changed
from zoo_server.accounts.models import User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog.models import Version
from zoo_server.pipelines import models

pytestmark = pytest.mark.django_db(transaction=True)
FORM = "/admin/pipelines/pipeline/recipe/"
TABLES = [models.Pipeline, models.PipelineStep, models.PipelineInput, models.PipelineEdge]


@pytest.fixture
def pages(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser, backend="django.contrib.auth.backends.ModelBackend")
    return client


def send(pages: Client, button: str, recipe: str = CHAIN, **changes: Any) -> Any:
    fields = {"recipe": recipe, "team": "vision", "cache": "use", "priority": 5, "inputs": "data: vision/pictures@1"}
    return pages.post(FORM, fields | changes | {button: "1"})


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_every_table_is_listed(pages: Client, start: Start, model: type) -> None:
    start(CHAIN)
    assert admin.site.is_registered(model)
    assert pages.get(f"/admin/pipelines/{model.__name__.lower()}/").status_code == 200


def test_a_pipeline_is_shown_with_its_steps(pages: Client, start: Start) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=50)
    page = pages.get(f"/admin/pipelines/pipeline/{scene.id}/change/").content.decode()
    assert f"/admin/jobs/job/{scene.job('quick').pk}/change/" in page
    assert "vision/best@1" in page
    assert "top1 &gt;= 90: not passed" in page
    assert pages.post(f"/admin/pipelines/pipeline/{scene.id}/change/", {"state": "failed"}).status_code == 403


def test_a_pipeline_is_cancelled_and_tried_again_by_actions(pages: Client, start: Start) -> None:
    scene = start(CHAIN)

    def act(action: str) -> None:
        fields = {"action": action, "_selected_action": [str(scene.id)]}
        assert pages.post("/admin/pipelines/pipeline/", fields, follow=True).status_code == 200

    act("cancel")
    assert scene.state == "cancelled"
    assert AuditEvent.objects.get(action="pipeline.cancel_requested").actor == "root"
    act("retry")
    act("retry")
    assert scene.state == "running", "a refused action says so and changes nothing"


def test_the_list_leads_to_the_form(pages: Client) -> None:
    assert f'href="{FORM}"' in pages.get("/admin/pipelines/pipeline/").content.decode()
    assert pages.get(FORM).status_code == 200


def test_the_form_starts_a_recipe(pages: Client, hands: Hands, data: Version) -> None:
    answer = send(pages, "start")
    pipeline = models.Pipeline.objects.get()
    assert answer["Location"] == f"/admin/pipelines/pipeline/{pipeline.pk}/change/"
    assert pipeline.created_by.username == "root"


def test_the_form_takes_a_file_and_settings(pages: Client, hands: Hands, data: Version) -> None:
    upload = SimpleUploadedFile("mine.yaml", DISTIL.encode())
    fields: dict[str, Any] = {"recipe": "", "upload": upload, "set": "small", "values": "heat: 2", "axes": "seed: [7]"}
    assert send(pages, "start", **fields).status_code == 302
    pipeline = models.Pipeline.objects.get()
    assert (pipeline.recipe_file, pipeline.set_name, pipeline.values, pipeline.axes) == (
        "mine.yaml",
        "small",
        {"heat": 2},
        {"seed": [7]},
    )


def test_the_form_plans_without_starting(pages: Client, hands: Hands, data: Version) -> None:
    page = send(pages, "plan").content.decode()
    assert page.count('class="planned"') == 4
    assert "unknown for 4" in page
    assert not models.Pipeline.objects.exists()


def test_the_form_checks_a_recipe(pages: Client, hands: Hands) -> None:
    assert "The recipe is right" in send(pages, "validate", DISTIL).content.decode()
    page = send(pages, "validate", changed(("{epochs: 1}", "{epochs: 0}"), ("heat}", "heet}"))).content.decode()
    assert page.count('class="fault"') == 3
    assert re.search(r"<td>12</td><td>14</td>\s*<td><code>sets.small.values.epochs</code>", page)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipe": ""}, "Paste a recipe"),
        ({"upload": SimpleUploadedFile("x.yaml", b"\xff")}, "not UTF-8"),
        ({"inputs": "- a"}, "is not a mapping"),
        ({"inputs": "data: 3"}, "inputs.data"),
        ({"values": "{"}, "not YAML"),
        ({"team": "audio"}, "There is no team"),
        ({"priority": 10}, "less than or equal to 9"),
    ],
)
def test_the_form_tells_what_is_wrong(
    pages: Client, hands: Hands, data: Version, changes: dict[str, Any], told: str
) -> None:
    recipe = changes.pop("recipe", CHAIN)
    answer = send(pages, "start", recipe, **changes)
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not models.Pipeline.objects.exists()


def test_the_form_is_for_staff_who_may_see_pipelines(db: None) -> None:
    nobody = make_user()
    nobody.is_staff = True
    nobody.save()
    client = Client()
    client.force_login(nobody, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(FORM).status_code == 403
    assert Client().get(FORM).status_code == 302
