"""Routes of recipes and pipelines, for people and their clients."""

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import PipelineState, Scope
from zoo_server.jobs.api.routes import JobsView, answer, parsed
from zoo_server.pipelines import selectors
from zoo_server.pipelines.api import bodies, presentation
from zoo_server.pipelines.models import Pipeline
from zoo_server.pipelines.recipes.checking import validate_recipe
from zoo_server.pipelines.requests import PipelineRequest, RecipeRequest, RecipeText
from zoo_server.pipelines.selectors import PipelineFilters
from zoo_server.pipelines.services.control import cancel_pipeline, retry_pipeline
from zoo_server.pipelines.services.planning import plan_recipe
from zoo_server.pipelines.services.preparing import offered_operations
from zoo_server.pipelines.services.starting import start_pipeline
from zoo_server.rest.choices import choices_of
from zoo_server.rest.pagination import Order, keyset_page
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import PageQuery, validated

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="The same key with the same body again answers with the pipeline that the first one made.",
)


class PipelineQuery(PageQuery):
    """The query string of ``GET pipelines``."""

    state = serializers.ChoiceField(choices=choices_of(PipelineState), required=False)
    team = serializers.RegexField(r"^[\w.-]{1,96}\Z", required=False)
    name = serializers.RegexField(r"^[\w.-]{1,96}\Z", required=False)


class PipelinesView(JobsView):
    """A route of this app."""

    tag = "pipelines"


class RecipeValidationView(PipelinesView):
    """Is a recipe right?"""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "recipes_validate"}

    @extend_schema(request=RecipeText, responses=bodies.RecipeBody)
    def post(self, request: Request) -> Response:
        """Check it with its defaults and every set; 422 `invalid-recipe` lists every mistake with line and key."""
        text = parsed(RecipeText, request)
        recipe = validate_recipe(text.recipe, manifests=offered_operations()[1], file=text.file)
        return answer(presentation.recipe_body(recipe))


class RecipePlanView(PipelinesView):
    """What would a recipe do?"""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "recipes_plan"}

    @extend_schema(request=RecipeRequest, responses=bodies.PlanBody)
    def post(self, request: Request) -> Response:
        """Its steps with what the result cache has of them and what the rest will cost; nothing is started."""
        wanted = parsed(RecipeRequest, request)
        return answer(presentation.plan_body(plan_recipe(principal=principal_of(request), request=wanted)))


class PipelineListView(PipelinesView):
    """Pipelines."""

    scopes = {"GET": Scope.READ, "POST": Scope.SUBMIT}
    operations = {"GET": "pipelines_list", "POST": "pipelines_start"}

    @extend_schema(parameters=[PipelineQuery], responses=bodies.PipelinePage)
    def get(self, request: Request) -> Response:
        """List the pipelines of the caller's teams, newest first, without their steps."""
        query = validated(PipelineQuery, request.query_params)
        cursor, limit = query.pop("cursor"), query.pop("limit")
        rows = selectors.filtered_pipelines(principal=principal_of(request), filters=PipelineFilters(**query))
        page = keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)
        counts, steps = selectors.state_counts(page.rows), selectors.output_steps(page.rows)
        results = [
            presentation.pipeline_body(row, counts=counts.get(row.pk, {}), steps=steps.get(row.pk, {}))
            for row in page.rows
        ]
        return answer(bodies.PipelinePage(results=results, next=page.next_cursor))

    @extend_schema(
        request=PipelineRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: bodies.PipelineDetailBody, 200: bodies.PipelineDetailBody},
    )
    def post(self, request: Request) -> Response:
        """Check everything, pin the inputs, and start what waits for nothing."""
        wanted = parsed(PipelineRequest, request)
        key = request.headers.get("Idempotency-Key")
        pipeline, created = start_pipeline(principal=principal_of(request), request=wanted, idempotency_key=key)
        headers = {"Location": f"/api/v1/pipelines/{pipeline.pk}"}
        return answer(described(pipeline), 202 if created else 200, headers)


class PipelineDetailView(PipelinesView):
    """One pipeline."""

    operations = {"GET": "pipelines_get"}

    @extend_schema(responses=bodies.PipelineDetailBody)
    def get(self, request: Request, pipeline_id: UUID) -> Response:
        """Describe it with its steps, their jobs, results and gates."""
        return answer(described(selectors.visible_pipeline(principal=principal_of(request), pipeline_id=pipeline_id)))


class PipelineCancelView(PipelinesView):
    """Stop a pipeline."""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "pipelines_cancel"}

    @extend_schema(request=None, responses=bodies.PipelineDetailBody)
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """Cancel it: what waits never starts, what runs is told to stop; 409 when it has ended."""
        return answer(described(cancel_pipeline(principal=principal_of(request), pipeline_id=pipeline_id)))


class PipelineRetryView(PipelinesView):
    """Try a pipeline again."""

    scopes = {"POST": Scope.SUBMIT}
    operations = {"POST": "pipelines_retry"}

    @extend_schema(request=None, responses=bodies.PipelineDetailBody)
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """Run again what did not succeed, and keep what did; 409 while it runs and when it has succeeded."""
        return answer(described(retry_pipeline(principal=principal_of(request), pipeline_id=pipeline_id)))


def described(pipeline: Pipeline) -> bodies.PipelineDetailBody:
    """The pipeline's body, as the pipeline is now."""
    found = selectors.with_steps(Pipeline.objects.filter(pk=pipeline.pk)).get()
    return presentation.pipeline_detail_body(found, selectors.edges_of(found))
