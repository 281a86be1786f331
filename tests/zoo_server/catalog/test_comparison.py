"""Versions side by side: like with like, reported and measured apart, fronts, agreement, and who sees what."""

import base64
from typing import Any
from uuid import uuid4

import pytest
from django.http import QueryDict
from django.test import Client as Browser
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from zoo_sdk.vocabulary import MetricSource, RepositoryKind, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.catalog import services
from zoo_server.catalog.models import Version
from zoo_server.catalog.selectors.fronts import Point, pareto_front
from zoo_server.rest.principals import SYSTEM

from .conftest import make_draft, make_repository, make_sealed

HERE, THERE = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def data(team: Team) -> Version:
    return make_draft(make_repository(team, "pictures", kind=RepositoryKind.DATASET), "images")


def classifier(team: Team, name: str, **fields: Any) -> Version:
    return make_sealed(make_repository(team, name, task="image-classification", **fields))


def measure(version: Version, name: str, value: float, **context: Any) -> None:
    context = {"runtime": "onnxruntime", **context}
    services.add_metric(
        principal=SYSTEM, version=version, name=name, value=value, source=MetricSource.MEASURED, job_id=uuid4(),
        **context,
    )  # fmt: skip


def score(version: Version, data: Version, top1: float, split: str = "test") -> None:
    measure(version, "top1", top1, dataset=data, split=split)


def time(version: Version, value: float, *, on: str = HERE, batch: int = 1, threads: int = 2, **context: Any) -> None:
    details = {"fingerprint": on, "batch": batch, "threads": threads, "noisy": False, "hardware": {"processor": "Z80"}}
    measure(version, "latency_ms", value, details=details, **context)


def report(version: Version, name: str, value: float, **context: Any) -> None:
    services.add_metric(
        principal=SYSTEM, version=version, name=name, value=value, source=MetricSource.REPORTED, **context
    )


def predict(version: Version, data: Version, classes: list[int]) -> None:
    codes = b"".join(value.to_bytes(2, "little", signed=True) for value in classes)
    content = {"predictions": {"dtype": "int16", "data": base64.b64encode(codes).decode(), "samples": len(classes)}}
    services.add_report(
        principal=SYSTEM, version=version, kind="classification", content=content, job_id=uuid4(), dataset=data,
        split="test",
    )  # fmt: skip


def ask(api: APIClient, *versions: Version | str, **parameters: Any) -> Any:
    query = QueryDict(mutable=True)
    query.setlist("version", [str(version) for version in versions])
    for name, value in parameters.items():
        query[name] = str(value)
    return api.get(f"/api/v1/compare?{query.urlencode()}")


def figures(body: Any, metric: str, source: str = "measured") -> list[Any]:
    return [column[source] for row in body["versions"] for column in row["columns"] if column["metric"] == metric]


def front(body: Any, cost: str, source: str = "measured") -> Any:
    return next(item for item in body["fronts"] if (item["cost"], item["source"]) == (cost, source))


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        ([(90, 5), (80, 2), (85, 6), (70, 1)], [True, True, False, True]),
        ([(90, 5), (90, 5), (90, 6)], [True, True, False]),
        ([(90, 5), (80, 5)], [True, False]),
        ([], []),
    ],
)
def test_a_point_is_on_the_front_unless_another_one_beats_it(points: Any, wanted: list[bool]) -> None:
    assert pareto_front([Point(*point) for point in points]) == wanted
    mirrored = [Point(-accuracy, cost) for accuracy, cost in points]
    assert pareto_front(mirrored, higher_is_better=False) == wanted


def test_versions_stand_side_by_side_with_their_front(team: Team, data: Version, api: APIClient) -> None:
    big, small, beaten = (classifier(team, name) for name in ("big", "small", "beaten"))
    for version, top1, latency in ((big, 92, 9.0), (small, 88, 2.0), (beaten, 87, 3.0)):
        score(version, data, top1)
        time(version, latency)
        measure(version, "size_bytes", latency * 1000)
    body = ask(api, big, small, beaten).json()
    assert body["metric"] == "top1"
    assert body["measured_on"] == {"dataset": "vision/pictures@1", "split": "test"}
    assert body["condition"] == {"fingerprint": HERE, "batch": 1, "threads": 2}
    assert [row["reference"] for row in body["versions"]] == ["vision/big@1", "vision/small@1", "vision/beaten@1"]
    assert [item["value"] for item in figures(body, "top1")] == [92, 88, 87]
    found = front(body, "latency_ms")
    assert [(point["reference"], point["on_front"]) for point in found["points"]] == [
        ("vision/big@1", True), ("vision/small@1", True), ("vision/beaten@1", False),
    ]  # fmt: skip
    assert front(body, "size_bytes")["points"][0]["cost"] == 9000
    assert front(body, "macs")["left_out"][0]["reason"] == "no measured macs"
    assert "only within one hardware fingerprint" in body["comparability"]


def test_latencies_of_other_hardware_batches_and_threads_are_not_compared(
    team: Team, data: Version, api: APIClient
) -> None:
    one, other, third = (classifier(team, name) for name in ("one", "other", "third"))
    for version in (one, other, third):
        score(version, data, 90)
    time(one, 5.0), time(other, 4.0), time(third, 1.0, on=THERE), time(other, 40.0, batch=32)
    body = ask(api, one, other, third).json()
    found = front(body, "latency_ms")
    assert [point["reference"] for point in found["points"]] == ["vision/one@1", "vision/other@1"]
    assert found["left_out"] == [
        {"reference": "vision/third@1", "reason": "latency_ms: it was found on other hardware"}
    ]
    third_figure = figures(body, "latency_ms")[2]
    assert (third_figure["value"], third_figure["comparable"]) == (1.0, False)
    assert {item["fingerprint"]: item["versions"] for item in body["fingerprints"]} == {HERE: 2, THERE: 1}
    assert body["fingerprints"][0]["hardware"] == {"processor": "Z80"}
    there = ask(api, one, third, fingerprint=THERE).json()
    assert [point["reference"] for point in front(there, "latency_ms")["points"]] == ["vision/third@1"]
    large = ask(api, one, other, batch=32).json()
    assert front(large, "latency_ms")["left_out"][0]["reason"].endswith("with batch 1 and 2 threads")


def test_a_latency_without_a_fingerprint_is_in_no_front(team: Team, data: Version, api: APIClient) -> None:
    old, new = classifier(team, "old"), classifier(team, "new")
    score(old, data, 90), score(new, data, 91), time(new, 3.0)
    measure(old, "latency_ms", 1.0, details={"batch": 1, "threads": 2})
    left_out = front(ask(api, old, new).json(), "latency_ms")["left_out"]
    assert left_out[0]["reason"] == "latency_ms: it does not say on which hardware it was found"


def test_of_several_runtimes_the_quickest_counts_and_of_one_the_newest(
    team: Team, data: Version, api: APIClient
) -> None:
    version, other = classifier(team, "several"), classifier(team, "other")
    time(version, 1.0), time(version, 7.0), time(version, 5.0, runtime="openvino"), time(other, 6.0)
    found = figures(ask(api, version, other).json(), "latency_ms")
    assert [(item["value"], item["runtime"]) for item in found] == [(5.0, "openvino"), (6.0, "onnxruntime")]


def test_accuracy_on_another_data_set_or_split_is_not_compared(team: Team, data: Version, api: APIClient) -> None:
    one, other, third = (classifier(team, name) for name in ("one", "other", "third"))
    score(one, data, 90), score(other, data, 91), score(third, data, 99, split="train")
    body = ask(api, one, other, third).json()
    third_figure = figures(body, "top1")[2]
    assert (third_figure["comparable"], third_figure["why_not"]) == (False, "it is on vision/pictures@1 train")
    train = ask(api, one, third, split="train").json()
    assert [item["comparable"] for item in figures(train, "top1")] == [False, True]


def test_reported_and_measured_figures_are_never_in_one_front(team: Team, data: Version, api: APIClient) -> None:
    published, own = classifier(team, "published"), classifier(team, "own")
    for version, value in ((published, 80.1), (own, 81.2)):
        report(version, "top1", value, dataset_name="ImageNet-1k", split="validation")
        report(version, "macs", value * 1e6)
        report(version, "latency_ms", 3.0)
    score(own, data, 70), measure(own, "macs", 5)
    body = ask(api, published, own).json()
    reported = front(body, "macs", "reported")
    assert [point["accuracy"] for point in reported["points"]] == [80.1, 81.2]
    assert front(body, "latency_ms", "reported")["points"] == []
    measured = front(body, "macs")
    assert [point["accuracy"] for point in measured["points"]] == [70]
    assert measured["left_out"] == [{"reference": "vision/published@1", "reason": "no measured top1"}]
    assert body["reported_on"] == {"dataset": "ImageNet-1k", "split": "validation"}


def test_agreement_comes_from_the_predictions_of_the_newest_evaluations(
    team: Team, data: Version, api: APIClient
) -> None:
    one, other, shorter = (classifier(team, name) for name in ("one", "other", "shorter"))
    for version in (one, other, shorter):
        score(version, data, 90)
    predict(one, data, [0, 0, 0, 0]), predict(one, data, [1, 2, 3, 4])
    predict(other, data, [1, 2, 3, -1]), predict(shorter, data, [1, 2])
    assert ask(api, one, other, shorter).json()["agreement"] == [
        {"first": "vision/one@1", "second": "vision/other@1", "percent": 75.0, "samples": 4}
    ]


def test_references_may_be_aliases_and_names_and_are_compared_once(team: Team, api: APIClient) -> None:
    model = make_repository(team, "line", task="image-classification")
    first, second = make_sealed(model), make_sealed(model)
    services.set_alias(principal=SYSTEM, version=first, name="production")
    services.create_version(principal=SYSTEM, repository=model)
    body = ask(api, "vision/line@production", "vision/line", "vision/line@1").json()
    assert [row["reference"] for row in body["versions"]] == [str(first), str(second)]


def test_what_the_caller_may_not_see_is_not_found_by_name(
    team: Team, api: APIClient, stranger_api: APIClient, data: Version
) -> None:
    secret = classifier(team, "secret", visibility=Visibility.PRIVATE)
    public = classifier(team, "open", visibility=Visibility.PUBLIC)
    assert ask(api, secret, public).status_code == 200
    answer = ask(stranger_api, secret, public)
    assert answer.status_code == 404
    assert "vision/secret@1" in answer.json()["detail"]
    assert ask(api, public, "vision/open@99").status_code == 404
    assert ask(api, public, "vision/open@nothing").status_code == 404


def test_a_wrong_question_is_refused_with_the_field(team: Team, api: APIClient) -> None:
    one, box = classifier(team, "one"), make_sealed(make_repository(team, "box", task="object-detection"))
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((one,), {}, "1 versions are named; 2 to 20"),
        (tuple(f"vision/x{number}" for number in range(21)), {}, "21 versions"),
        ((one, "no reference at all"), {}, "no reference at all"),
        ((one, box), {}, "different tasks"),
        ((one, box), {"metric": "topp1"}, "topp1"),
        ((one, box), {"batch": 0}, "batch"),
        ((one, box), {"batches": 1}, "batches"),
    ]
    for versions, parameters, fault in cases:
        answer = ask(api, *versions, **parameters)
        assert answer.status_code == 422, fault
        assert fault in answer.content.decode()
    assert ask(api, one, box, metric="top1").status_code == 200


@pytest.mark.parametrize("rows", [3, 20])
def test_a_comparison_costs_the_same_for_any_number_of_versions(
    rows: int, team: Team, data: Version, api: APIClient, count_queries: QueryCounter
) -> None:
    versions = [classifier(team, f"net-{number}") for number in range(rows)]
    for number, version in enumerate(versions):
        score(version, data, number), time(version, number + 1), predict(version, data, [number, 0])
    with count_queries("compare"):
        assert len(ask(api, *versions).json()["versions"]) == rows


def test_the_page_shows_the_table_a_picture_and_what_is_left_out(team: Team, data: Version, member: User) -> None:
    one, other, _ = (classifier(team, name) for name in ("one", "other", "third"))
    score(one, data, 91.5), score(other, data, 90), time(one, 5.0), time(other, 4.0)
    browser = Browser()
    browser.force_login(member)
    page = browser.get("/compare?versions=vision/one+vision/other+vision/third").content.decode()
    assert "top1 against latency_ms, measured" in page
    assert page.count("<circle") == 2
    assert "91.5" in page
    assert "vision/third@1: no measured top1" in page
    assert "Name two or more versions" in browser.get("/compare").content.decode()
    assert Browser().get(f"/compare?version={one}&version={other}").status_code == 404
    wrong = browser.get("/compare?versions=vision/one&batch=x")
    assert wrong.status_code == 422
    hostile = browser.get("/compare?versions=%3Cscript%3Ealert(1)%3C/script%3E+x")
    assert "<script>alert" not in hostile.content.decode()
