"""Pipelines in the admin pages: shown, cancelled, tried again; and a form that checks, plans and starts recipes."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from pydantic import ValidationError

from zoo_sdk.errors import ZooError
from zoo_server.accounts.authentication import principal_of_user
from zoo_server.audit.admin import ReadOnlyAdmin
from zoo_server.pipelines.api.presentation import plan_body
from zoo_server.pipelines.forms import RecipeForm
from zoo_server.pipelines.models import Pipeline, PipelineEdge, PipelineInput, PipelineStep
from zoo_server.pipelines.recipes.checking import validate_recipe
from zoo_server.pipelines.recipes.faults import InvalidRecipe
from zoo_server.pipelines.services.control import cancel_pipeline, retry_pipeline
from zoo_server.pipelines.services.planning import plan_recipe
from zoo_server.pipelines.services.preparing import offered_operations
from zoo_server.pipelines.services.starting import start_pipeline
from zoo_server.rest.principals import Principal, address_of

FORM_TEMPLATE = "admin/pipelines/pipeline/recipe_form.html"


class PipelineInputs(admin.TabularInline):
    """The versions that it runs on."""

    model = PipelineInput
    fields = readonly_fields = ("name", "version", "path")
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineInput]:
        return super().get_queryset(request).select_related("version__repository__team")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PipelineSteps(admin.TabularInline):
    """The table of its steps."""

    model = PipelineStep
    fields = readonly_fields = ("key", "operation", "state", "reason", "job_link", "result_link", "gate_results")
    extra = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineStep]:
        rows = super().get_queryset(request).select_related("job", "result__repository__team")
        return rows.order_by("position")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="job")
    def job_link(self, step: PipelineStep) -> SafeString | str:
        """The step's job and its state."""
        if step.job is None:
            return "-"
        url = reverse("admin:jobs_job_change", args=[step.job.pk])
        cached = ", from the cache" if step.job.cached_from_id else ""
        return format_html('<a href="{}">{}{}</a>', url, step.job.state, cached)

    @admin.display(description="result")
    def result_link(self, step: PipelineStep) -> SafeString | str:
        """The version that it made or measured."""
        if step.result is None:
            return "-"
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:catalog_version_change", args=[step.result.pk]), step.result
        )

    @admin.display(description="gates")
    def gate_results(self, step: PipelineStep) -> SafeString | str:
        """What its gates found."""
        return format_html_join(mark_safe("<br>"), "{}", ((gate["message"],) for gate in step.gates)) or "-"


@admin.register(Pipeline)
class PipelineAdmin(ReadOnlyAdmin):
    """Pipelines, newest first."""

    list_display = ("id", "name", "set_name", "team", "state", "created_by", "created_at", "finished_at")
    list_filter = ("state", "team", "name")
    list_select_related = ("team", "created_by")
    search_fields = ("id", "name", "team__name")
    ordering = ("-id",)
    actions = ("cancel", "retry")
    inlines = (PipelineInputs, PipelineSteps)
    show_full_result_count = False
    change_list_template = "admin/pipelines/pipeline/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        form = self.admin_site.admin_view(self.recipe_form)
        return [path("recipe/", form, name="pipelines_recipe"), *super().get_urls()]

    @admin.action(description="Cancel the selected pipelines")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Pipeline]) -> None:
        """Cancel through the service."""
        self._each(request, queryset, cancel_pipeline)

    @admin.action(description="Try the selected pipelines again")
    def retry(self, request: HttpRequest, queryset: QuerySet[Pipeline]) -> None:
        """Retry through the service."""
        self._each(request, queryset, retry_pipeline)

    def _each(self, request: HttpRequest, rows: QuerySet[Pipeline], service: Callable[..., Pipeline]) -> None:
        ids: list[UUID] = list(rows.values_list("pk", flat=True))
        for pipeline_id in ids:
            try:
                pipeline = service(principal=_principal(request), pipeline_id=pipeline_id)
                self.message_user(request, f"{pipeline}: {pipeline.state}", messages.SUCCESS)
            except ZooError as error:
                self.message_user(request, f"{pipeline_id}: {error}", messages.ERROR)

    def recipe_form(self, request: HttpRequest) -> HttpResponse:
        """Check, plan or start a recipe; what is wrong is listed above the form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = RecipeForm(request.POST or None, request.FILES or None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Run a recipe",
            "opts": self.opts,
            "form": form,
            "faults": [],
            "plan": None,
        }
        if request.method == "POST" and form.is_valid():
            try:
                started = self._act(request, form, context)
            except (ZooError, ValidationError) as error:
                context["faults"] = _told(error)
            else:
                if started is not None:
                    return HttpResponseRedirect(reverse("admin:pipelines_pipeline_change", args=[started.pk]))
        return TemplateResponse(request, FORM_TEMPLATE, context)

    def _act(self, request: HttpRequest, form: RecipeForm, context: dict[str, Any]) -> Pipeline | None:
        """Do what the pressed button says; answers the pipeline if one was started."""
        wanted = form.request()
        if "start" in request.POST:
            pipeline, _ = start_pipeline(principal=_principal(request), request=wanted)
            self.message_user(request, f"{pipeline} was started.", messages.SUCCESS)
            return pipeline
        if "plan" in request.POST:
            context["plan"] = plan_body(plan_recipe(principal=_principal(request), request=wanted))
        else:
            validate_recipe(wanted.recipe, manifests=offered_operations()[1], file=wanted.file)
            self.message_user(request, "The recipe is right, with its defaults and with every set.", messages.SUCCESS)
        return None


@admin.register(PipelineStep)
class PipelineStepAdmin(ReadOnlyAdmin):
    """Steps of all pipelines, newest first."""

    list_display = ("key", "pipeline", "operation", "state", "reason", "job", "result")
    list_filter = ("state", "operation")
    list_select_related = ("pipeline", "job__operation", "result__repository__team")
    search_fields = ("key", "pipeline__id", "pipeline__name")
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(PipelineInput)
class PipelineInputAdmin(ReadOnlyAdmin):
    """What pipelines were given."""

    list_display = ("pipeline", "name", "version", "path")
    list_select_related = ("pipeline", "version__repository__team")
    search_fields = ("pipeline__id", "pipeline__name")
    ordering = ("-id",)


@admin.register(PipelineEdge)
class PipelineEdgeAdmin(ReadOnlyAdmin):
    """Which step waits for which."""

    list_display = ("source", "target", "kind")
    list_filter = ("kind",)
    list_select_related = ("source", "target")
    search_fields = ("source__pipeline__id",)
    ordering = ("-id",)
    show_full_result_count = False


def _principal(request: HttpRequest) -> Principal:
    user: Any = request.user  # staff are signed in
    return principal_of_user(user, address_of(request))


def _told(error: ZooError | ValidationError) -> Sequence[dict[str, Any]]:
    """What is wrong, one row for each mistake."""
    if isinstance(error, InvalidRecipe):
        return [fault.as_entry() for fault in error.faults]
    if isinstance(error, ValidationError):
        return [{"key": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
    return [{"key": error.code, "message": str(error)}]
