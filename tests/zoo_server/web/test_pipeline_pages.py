"""Pages of pipelines: what members see of their pipelines, and nobody else."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models.functions import Now
from django.test import Client

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import make_user
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import BRANCHED, CHAIN, SEEDS
from zoo_server.accounts.models import User
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def pages(member: User) -> Client:
    return signed_in(member)


def test_a_pipeline_is_a_picture_and_a_table(pages: Client, start: Start) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=50)
    answer = pages.get(f"/pipelines/{scene.id}")
    page = answer.content.decode()
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert page.count("<rect") == 4
    assert 'class="branch"' in page
    assert "top1 &gt;= 90: not passed (vision/best@1: 50)" in page
    assert f'href="/api/v1/jobs/{scene.job("quick").pk}"' in page
    assert 'href="/api/v1/models/vision/best/versions/1"' in page
    assert "top1 50 %" in page
    assert "it takes quick, which did not pass its gates" in page


def test_each_step_shows_its_parameters_as_merged_and_what_it_waits_for(pages: Client, start: Start) -> None:
    text = CHAIN.replace(
        "    operation: toy.train\n", '    operation: toy.train\n    params: ["${values.all}", {optimizer: adamw}]\n', 1
    ).replace("steps:\n", "values: {all: {epochs: 7, optimizer: sgd}}\nsteps:\n", 1)
    scene = start(text)
    page = pages.get(f"/pipelines/{scene.id}").content.decode()
    assert "<dt>epochs</dt><dd>7</dd><dt>optimizer</dt><dd>&quot;adamw&quot;</dd>" in page
    assert "waits for a worker" not in page
    assert '<span class="soft">teacher</span> base × 2' in page
    Worker.objects.update(last_seen_at=Now() - timedelta(hours=1))
    page = pages.get(f"/pipelines/{scene.id}").content.decode()
    assert page.count("waits for a worker that offers toy.train v1: none is alive") == 2
    assert page.count('<span class="state queued">queued</span>') == 2
    assert "toy.train: queued" in page, "the picture says so, too"
    scene.claim("base")
    page = pages.get(f"/pipelines/{scene.id}").content.decode()
    assert page.count('<span class="state queued">') == 1


def test_a_page_refreshes_until_the_pipeline_has_ended(pages: Client, start: Start) -> None:
    scene = start(CHAIN)
    assert "<main data-refresh>" in pages.get(f"/pipelines/{scene.id}").content.decode()
    scene.fail("base")
    scene.fail("other")
    assert "data-refresh" not in pages.get(f"/pipelines/{scene.id}").content.decode()
    script = pages.get("/static/web/refresh.js")
    assert b"data-refresh" in script.getvalue()
    script.close()


def test_the_list_shows_the_newest_pipelines(pages: Client, start: Start) -> None:
    assert "None yet" in pages.get("/pipelines").content.decode()
    scene = start(CHAIN)
    page = pages.get("/pipelines").content.decode()
    assert f'href="/pipelines/{scene.id}"' in page
    assert "2 running, 2 waiting" in page or "2 waiting, 2 running" in page


def test_only_members_see_a_pipeline(pages: Client, start: Start) -> None:
    scene = start(CHAIN)
    stranger = signed_in(make_user())
    assert stranger.get(f"/pipelines/{scene.id}").status_code == 404
    assert str(scene.id) not in stranger.get("/pipelines").content.decode()
    assert pages.get(f"/pipelines/{UUID(int=7)}").status_code == 404
    for route in ("/pipelines", f"/pipelines/{scene.id}"):
        answer = Client().get(route)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/sign-in?next={route}")
        assert pages.post(route).status_code == 405


def test_a_name_in_a_page_is_only_text(pages: Client, start: Start) -> None:
    text = CHAIN.replace("  base:\n    operation", "  base:\n    for_each: [what]\n    operation", 1).replace(
        "steps:\n", 'axes:\n  what: ["<script>alert(1)</script>"]\nsteps:\n', 1
    )
    text = text.replace("student: ${steps.base}", "student: ${steps.other}")
    scene = start(text)
    page = pages.get(f"/pipelines/{scene.id}").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("seeds", [3, 30])
def test_the_page_takes_as_many_queries_for_any_number_of_steps(
    pages: Client, start: Start, base: Version, count_queries: QueryCounter, seeds: int
) -> None:
    scene = start(SEEDS, inputs={"student": str(base)}, axes={"seed": list(range(seeds))})
    with count_queries("pipeline-page"):
        assert pages.get(f"/pipelines/{scene.id}").status_code == 200
