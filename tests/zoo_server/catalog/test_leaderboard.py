"""The table of a task: order, reported beside measured, what is not here, and who sees which rows."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client as Browser
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from zoo_sdk.vocabulary import MetricSource, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.catalog import services
from zoo_server.catalog.catalogues.reading import known_catalogue
from zoo_server.catalog.models import Version
from zoo_server.rest.principals import SYSTEM

from .conftest import make_repository, make_sealed

ROUTE = "/api/v1/leaderboard?task=image-classification"


def measure(version: Version, value: float, name: str = "top1") -> None:
    services.add_metric(
        principal=SYSTEM, version=version, name=name, value=value, source=MetricSource.MEASURED, job_id=uuid4(),
        dataset_name="own", split="test", runtime="onnxruntime",
    )  # fmt: skip


def report(version: Version, value: float, name: str = "top1") -> None:
    services.add_metric(principal=SYSTEM, version=version, name=name, value=value, source=MetricSource.REPORTED)


def make_classifier(team: Team, name: str, **fields: Any) -> Version:
    return make_sealed(make_repository(team, name, task="image-classification", **fields))


@pytest.fixture
def adlik(team: Team) -> None:
    services.import_catalogue(principal=SYSTEM, team=team, catalogue=known_catalogue("adlik"))


def references(api: APIClient, query: str = "") -> list[str]:
    return [row["reference"].split("/")[1] for row in api.get(ROUTE + query).json()["results"]]


def test_the_readmes_table_of_the_adlik_zoo_is_shown_with_its_figures_and_what_is_missing(
    adlik: None, api: APIClient
) -> None:
    rows = {row["reference"]: row for row in api.get(f"{ROUTE}&limit=200").json()["results"]}
    slim = rows["vision/resnet50-slim@1"]
    assert slim["strategy"] == "pruning + distillation"
    assert slim["introduction"].startswith("pruning 50% channels of resnet50 model")
    assert slim["availability"] == "not mirrored"
    assert slim["files"][0]["format"] == "h5"
    column = slim["columns"][0]
    assert (column["metric"], column["reported"]["value"], column["measured"]) == ("top1", 76.376, None)
    assert column["reported"]["origin"].startswith("README of Adlik/model_zoo")
    assert rows["vision/resnet50-autoslim@1"]["availability"] == "none"


def test_figures_on_other_data_sets_do_not_count_where_one_is_named(adlik: None, team: Team, api: APIClient) -> None:
    assert references(api)[0].startswith("lenet5@")
    rows = api.get(f"{ROUTE}&dataset=imagenet-1K&limit=200").json()["results"]
    figures = [row["columns"][0]["reported"] for row in rows]
    assert (rows[0]["reference"], figures[0]["value"]) == ("vision/vit-sg@1", 86.046)
    assert {figure["dataset"] for figure in figures} == {"ImageNet-1k"}
    own = make_classifier(team, "own")
    measure(own, 99.0)
    assert "own@1" not in references(api, "&dataset=ImageNet-1k&limit=200")


def test_detection_and_segmentation_are_ranked_by_their_own_metrics(adlik: None, api: APIClient) -> None:
    found = api.get("/api/v1/leaderboard?task=object-detection").json()["results"]
    values = [row["columns"][0]["reported"] and row["columns"][0]["reported"]["value"] for row in found]
    assert values == [47.6, 42.0, 39.3, 38.6, 37.2, 36.5, None]
    found = api.get("/api/v1/leaderboard?task=instance-segmentation").json()["results"]
    assert [(row["columns"][0]["metric"], row["columns"][0]["reported"]["value"]) for row in found] == [
        ("mask_ap", 42.4)
    ]


def test_a_measured_figure_stands_beside_the_reported_one_and_decides_the_order(team: Team, api: APIClient) -> None:
    boasting, honest = make_classifier(team, "boasting"), make_classifier(team, "honest")
    report(boasting, 90), report(honest, 80)
    assert references(api) == ["boasting@1", "honest@1"]
    measure(boasting, 60), measure(honest, 79), measure(honest, 81)
    assert references(api) == ["honest@1", "boasting@1"]
    assert references(api, "&sort=-reported") == ["boasting@1", "honest@1"]
    assert references(api, "&sort=measured") == ["boasting@1", "honest@1"]
    column = api.get(ROUTE).json()["results"][0]["columns"][0]
    assert (column["reported"]["value"], column["measured"]["value"]) == (80, 81)
    assert (column["measured"]["dataset"], column["measured"]["runtime"]) == ("own", "onnxruntime")


def test_lower_is_better_for_latency_and_versions_without_a_figure_come_last(team: Team, api: APIClient) -> None:
    slow, fast = make_classifier(team, "slow"), make_classifier(team, "fast")
    make_classifier(team, "unknown")
    measure(slow, 9.0, "latency_ms"), measure(fast, 2.0, "latency_ms")
    assert references(api, "&metric=latency_ms") == ["fast@1", "slow@1", "unknown@1"]
    assert references(api, "&metric=latency_ms&sort=-best") == ["slow@1", "fast@1", "unknown@1"]


def test_drafts_withdrawn_versions_and_other_tasks_are_left_out(team: Team, api: APIClient) -> None:
    gone = make_classifier(team, "gone")
    services.withdraw_version(principal=SYSTEM, version=gone)
    make_sealed(make_repository(team, "other", task="object-detection"))
    make_classifier(team, "here")
    assert references(api) == ["here@1"]


def test_rows_can_be_narrowed_to_what_is_here(adlik: None, team: Team, api: APIClient) -> None:
    make_classifier(team, "own")
    assert references(api, "&mirrored=true") == ["own@1"]
    assert "own@1" not in references(api, "&mirrored=false&limit=200")
    assert "own@1" not in references(api, "&catalogue=adlik&limit=200")


def test_nobody_sees_rows_of_models_that_are_not_theirs_to_see(
    team: Team, api: APIClient, stranger_api: APIClient
) -> None:
    make_classifier(team, "secret", visibility=Visibility.PRIVATE)
    make_classifier(team, "open", visibility=Visibility.PUBLIC)
    assert references(api) == ["open@1", "secret@1"]
    assert references(stranger_api) == ["open@1"]
    assert references(APIClient()) == ["open@1"]


def test_pages_follow_each_other_without_gaps(adlik: None, api: APIClient) -> None:
    whole = references(api, "&limit=200")
    pages, cursor = [], ""
    while True:
        page = api.get(f"{ROUTE}&limit=7{cursor}").json()
        pages += [row["reference"].split("/")[1] for row in page["results"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert pages == whole


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "task"), ("?task=speech", "metric"), ("?task=x&metric=top2", "top2"), ("?task=x&metric=top1&sort=up", "up")],
)
def test_a_wrong_question_is_refused(api: APIClient, query: str, field: str) -> None:
    answer = api.get(f"/api/v1/leaderboard{query}")
    assert answer.status_code == 422
    assert field in answer.content.decode()


@pytest.mark.parametrize("rows", [3, 30])
def test_the_table_costs_the_same_for_any_number_of_rows(
    rows: int, team: Team, api: APIClient, count_queries: QueryCounter
) -> None:
    for number in range(rows):
        version = make_classifier(team, f"net-{number}")
        report(version, number), measure(version, number)
    with count_queries("leaderboard"):
        assert len(api.get(f"{ROUTE}&limit=200").json()["results"]) == rows


@pytest.mark.parametrize("rows", [3, 30])
def test_listing_remote_files_costs_the_same_for_any_number_of_rows(
    rows: int, team: Team, api: APIClient, count_queries: QueryCounter
) -> None:
    from zoo_server.catalog.services.files import RemoteDeclaration

    draft = services.create_version(principal=SYSTEM, repository=make_repository(team, "net"))
    for number in range(rows):
        services.add_remote_file(
            principal=SYSTEM, version=draft, path=f"{number}.h5", address=f"https://example.org/{number}.h5",
            declared=RemoteDeclaration("h5"),
        )  # fmt: skip
    with count_queries("remote-files"):
        assert len(api.get("/api/v1/catalogues/files?limit=200").json()["results"]) == rows


def test_the_page_shows_the_table_and_says_what_is_not_mirrored(adlik: None, member: User) -> None:
    browser = Browser()
    browser.force_login(member)
    page = browser.get("/leaderboard?task=object-detection").content.decode()
    assert "vision/yolov5s@2" in page
    assert "not mirrored" in page
    assert "47.6" in page
    assert "vision/yolov5s" not in Browser().get("/leaderboard?task=object-detection").content.decode()
    assert Browser().get("/leaderboard?task=nothing&sort=nothing").status_code == 200
