"""Pages of pipelines: the list, and one of them as a picture and a table that refresh while it runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from zoo_sdk.errors import NotFound
from zoo_sdk.measures import MEASURES
from zoo_sdk.vocabulary import JobState
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.catalog.models import Metric
from zoo_server.jobs.selectors import measurements_of
from zoo_server.pipelines import selectors
from zoo_server.pipelines.api import bodies, presentation
from zoo_server.pipelines.models import Pipeline
from zoo_server.rest.principals import Principal
from zoo_server.web.graphs import BOX_HEIGHT, BOX_WIDTH, Node, draw

SHOWN_PIPELINES = 50
BAR_ORDER = ("succeeded", "gated", "failed", "cancelled", "running", "waiting", "skipped")
"""What is done before what is not."""


@dataclass(frozen=True)
class PipelineRow:
    """A pipeline of the list.  ``counts``: its steps by state, in the order of the bar; ``made``: all versions."""

    pipeline: bodies.PipelineBody
    counts: list[tuple[str, int]]
    made: list[str]


@dataclass(frozen=True)
class StepRow:
    """A step of the table.

    ``state``: ``queued`` for a step whose job has not begun; ``parameters``: as merged, values as JSON; ``takes``:
    ports and sources; ``link``: what the API says of its job.
    """

    step: bodies.StepBody
    anchor: str
    state: str
    parameters: list[tuple[str, str]]
    takes: list[tuple[str, str]]
    link: str
    version_link: str
    metrics: list[str]


@require_safe
def pipeline_list(request: HttpRequest) -> HttpResponseBase:
    """The newest pipelines of the caller's teams."""
    principal = _signed_in(request)
    if principal is None:
        return redirect_to_login(request.path)
    rows = list(
        selectors.filtered_pipelines(principal=principal, filters=selectors.PipelineFilters()).order_by("-id")[
            :SHOWN_PIPELINES
        ]
    )
    counts, steps = selectors.state_counts(rows), selectors.output_steps(rows)
    shown = [
        presentation.pipeline_body(row, counts=counts.get(row.pk, {}), steps=steps.get(row.pk, {})) for row in rows
    ]
    lines = [
        PipelineRow(
            body, _ordered(body.counts), [version for item in body.outputs.values() for version in item.versions]
        )
        for body in shown
    ]
    return _page(request, "web/pipelines.html", {"rows": lines, "limit": SHOWN_PIPELINES})


@require_safe
def pipeline_page(request: HttpRequest, pipeline_id: UUID) -> HttpResponseBase:
    """One pipeline."""
    principal = _signed_in(request)
    if principal is None:
        return redirect_to_login(request.path)
    try:
        selectors.visible_pipeline(principal=principal, pipeline_id=pipeline_id)
    except NotFound as error:
        raise Http404(str(error)) from error
    row = selectors.with_steps(Pipeline.objects.filter(pk=pipeline_id)).get()
    edges = selectors.edges_of(row)
    body = presentation.pipeline_detail_body(row, edges)
    jobs = [step.job for step in row.steps.all() if step.job is not None]
    measured = measurements_of(jobs)
    anchors = {step.key: f"step-{number}" for number, step in enumerate(body.steps, 1)}
    steps = [_row(step, anchors[step.key], measured.get(step.job.id, []) if step.job else []) for step in body.steps]
    drawing = draw([Node(row.step.key, row.anchor, row.step.operation, row.state) for row in steps], edges)
    context = {"pipeline": body, "steps": steps, "drawing": drawing, "box": (BOX_WIDTH, BOX_HEIGHT)}
    context["counts"] = _ordered(body.counts)
    return _page(request, "web/pipeline.html", context)


def _signed_in(request: HttpRequest) -> Principal | None:
    user: Any = request.user
    return principal_of_user(user) if user.is_authenticated else None


def _row(step: bodies.StepBody, anchor: str, measured: list[Metric]) -> StepRow:
    job = f"/api/v1/jobs/{step.job.id}" if step.job else ""
    parameters = [(name, json.dumps(value, ensure_ascii=False)) for name, value in step.params.items()]
    takes = [(item.port, _source(item)) for item in step.inputs]
    version, metrics = _version_link(step.result), [_metric(metric) for metric in measured]
    return StepRow(step, anchor, _shown_state(step), parameters, takes, job, version, metrics)


def _ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(state, counts[state]) for state in BAR_ORDER if counts.get(state)]


def _shown_state(step: bodies.StepBody) -> str:
    """A step counts as running from its submission on; whoever looks wants to know whether anybody works on it."""
    return JobState.QUEUED if step.job and (step.state, step.job.state) == ("running", "queued") else step.state


def _source(item: bodies.StepInputBody) -> str:
    weight = "" if item.weight is None else f" × {item.weight:g}"
    return f"{item.source.replace('steps.', '')}{weight}"


def _version_link(reference: str | None) -> str:
    if reference is None:
        return ""
    name, _, number = reference.partition("@")
    return f"/api/v1/models/{name}/versions/{number}"


def _metric(metric: Metric) -> str:
    measure = MEASURES.get(metric.name)
    unit = f" {measure.unit}" if measure and measure.unit else ""
    return f"{metric.name} {metric.value:.6g}{unit}"


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A page that no cache keeps: it shows what only members may see."""
    response = render(request, template, context)
    response.headers["Cache-Control"] = "private, no-store"
    return response
