"""Routes of conversions: the planned path, and the pipeline that goes along it."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.jobs.api.routes import answer, parsed
from zoo_server.pipelines.api import bodies
from zoo_server.pipelines.api import conversion_bodies as conversions
from zoo_server.pipelines.api.views import IDEMPOTENCY_KEY, PipelinesView, described
from zoo_server.pipelines.conversions.graph import ConversionPath, OfferedEdge
from zoo_server.pipelines.requests import ConversionRequest
from zoo_server.pipelines.services.converting import ConversionPlan, known_edges, plan_conversion, start_conversion
from zoo_server.rest.principals import principal_of


class ConversionPlanView(PipelinesView):
    """How would a version be converted?"""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "conversions_plan"}

    @extend_schema(request=ConversionRequest, responses=conversions.ConversionPlanBody)
    def post(self, request: Request) -> Response:
        """The cheapest available path over the edges that workers offer, and why others cannot be taken."""
        wanted = parsed(ConversionRequest, request)
        return answer(plan_body(plan_conversion(principal=principal_of(request), request=wanted), wanted.to))


class ConversionListView(PipelinesView):
    """What can be converted into what, and conversions at work."""

    scopes = {"GET": Scope.READ, "POST": Scope.SUBMIT}
    operations = {"GET": "conversions_list", "POST": "conversions_start"}

    @extend_schema(responses=conversions.EdgesBody)
    def get(self, request: Request) -> Response:
        """Every edge of the graph, and why those that are not available are not."""
        return answer(conversions.EdgesBody(edges=[_known(item) for item in known_edges()]))

    @extend_schema(
        request=ConversionRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: bodies.PipelineDetailBody, 200: bodies.PipelineDetailBody},
    )
    def post(self, request: Request) -> Response:
        """Run the path as a pipeline, one version for each step; 422 `no-conversion` where there is none."""
        wanted = parsed(ConversionRequest, request)
        key = request.headers.get("Idempotency-Key")
        pipeline, created = start_conversion(principal=principal_of(request), request=wanted, idempotency_key=key)
        headers = {"Location": f"/api/v1/pipelines/{pipeline.pk}"}
        return answer(described(pipeline), 202 if created else 200, headers)


def plan_body(plan: ConversionPlan, target: str) -> conversions.ConversionPlanBody:
    """The plan as an answer."""
    path = plan.path
    start = path.start
    return conversions.ConversionPlanBody(
        version=str(plan.version),
        to=target,
        found=start is not None,
        problem=path.problem,
        start=conversions.ConversionStartBody(artifact=start.path, format=start.format, precision=start.precision)
        if start
        else None,
        steps=_steps(path),
        cost=path.cost,
        unavailable=[_edge(item) for item in path.unavailable],
        team=plan.team,
        model=plan.model,
        recipe=plan.recipe.text if plan.recipe else None,
    )


def _steps(path: ConversionPath) -> list[conversions.ConversionStepBody]:
    return [
        conversions.ConversionStepBody(
            operation=step.offered.operation,
            source=step.source[0],
            source_precision=step.source[1],
            target=step.target[0],
            target_precision=step.target[1],
            cost=step.offered.edge.cost,
            params=dict(step.offered.params),
        )
        for step in path.steps
    ]


def _known(item: OfferedEdge) -> conversions.KnownEdgeBody:
    return conversions.KnownEdgeBody(
        **_edge(item).model_dump(),
        takes=list(item.edge.takes),
        asks=list(item.edge.asks),
        requires=[f"{need.name or 'GPU'}: {need.reason}" for need in item.edge.requires],
        available=not item.reasons,
    )


def _edge(item: OfferedEdge) -> conversions.EdgeBody:
    return conversions.EdgeBody(
        operation=item.operation,
        source=item.edge.source,
        target=item.edge.target,
        precision=item.edge.precision,
        cost=item.edge.cost,
        reasons=list(item.reasons),
    )
