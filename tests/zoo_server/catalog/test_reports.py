"""What jobs found that is more than a number: kept with the version, listed without and shown with its content."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.messages import MAX_REPORT_BYTES
from zoo_sdk.vocabulary import RepositoryKind, Visibility
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.models import Report, Version
from zoo_server.rest.principals import SYSTEM

from .conftest import make_draft, make_repository, make_sealed

CONTENT = {"samples": 3, "confusion": [[0, 0, 2], [1, 0, 1]]}


def keep(version: Version, kind: str = "classification", **fields: Any) -> Report:
    content = fields.pop("content", CONTENT)
    return services.add_report(
        principal=SYSTEM, version=version, kind=kind, content=content, job_id=uuid4(), split="test",
        runtime="onnxruntime", device="cpu", **fields,
    )  # fmt: skip


def route(version: Version) -> str:
    return f"/api/v1/models/{version.repository}/versions/{version.number}/reports"


def test_a_report_is_listed_without_and_shown_with_its_content(sealed: Version, team: Team, api: APIClient) -> None:
    data = make_draft(make_repository(team, "pictures", kind=RepositoryKind.DATASET), "images")
    kept = keep(sealed, dataset=data, artifact=sealed.artifacts.first())
    keep(sealed, "benchmark", content={"points": []})
    listed = api.get(f"{route(sealed)}?kind=classification").json()["results"]
    assert [row["id"] for row in listed] == [str(kept.pk)]
    assert "content" not in listed[0]
    assert listed[0]["size"] == kept.size
    shown = api.get(f"{route(sealed)}/{kept.pk}").json()
    assert shown["content"] == CONTENT
    assert (shown["dataset"], shown["split"], shown["runtime"]) == ("vision/pictures@1", "test", "onnxruntime")
    assert [row["kind"] for row in api.get(route(sealed)).json()["results"]] == ["benchmark", "classification"]
    assert AuditEvent.objects.filter(action="report.added").count() == 2


def test_reports_of_hidden_models_and_hidden_data_sets_are_not_shown(
    team: Team, api: APIClient, stranger_api: APIClient
) -> None:
    secret = make_sealed(make_repository(team, "secret", visibility=Visibility.PRIVATE))
    hidden = make_repository(team, "hidden", kind=RepositoryKind.DATASET, visibility=Visibility.PRIVATE)
    open_model = make_sealed(make_repository(team, "open", visibility=Visibility.PUBLIC))
    kept = keep(secret)
    keep(open_model, dataset=make_draft(hidden, "images"))
    assert stranger_api.get(f"{route(secret)}/{kept.pk}").status_code == 404
    assert api.get(f"{route(secret)}/{kept.pk}").status_code == 200
    assert stranger_api.get(route(open_model)).json()["results"][0]["dataset"] == "(hidden)"
    assert api.get(f"{route(open_model)}/{kept.pk}").status_code == 404
    assert api.get(f"{route(secret)}/no-such-report").status_code == 404


def test_a_withdrawn_version_takes_no_report_and_none_may_be_too_large(sealed: Version) -> None:
    with pytest.raises(InvalidInput, match="more than"):
        keep(sealed, content={"text": "x" * MAX_REPORT_BYTES})
    services.withdraw_version(principal=SYSTEM, version=sealed)
    with pytest.raises(Conflict, match="withdrawn"):
        keep(sealed)


@pytest.mark.parametrize("rows", [3, 30])
def test_listing_reports_costs_the_same_for_any_number_of_rows(
    rows: int, sealed: Version, team: Team, api: APIClient, count_queries: QueryCounter
) -> None:
    for number in range(rows):
        data = make_draft(make_repository(team, f"d{number}", kind=RepositoryKind.DATASET), "images")
        keep(sealed, dataset=data)
    with count_queries("reports"):
        assert len(api.get(f"{route(sealed)}?limit=200").json()["results"]) == rows
