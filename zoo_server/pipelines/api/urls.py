"""Routes of this app below /api/v1."""

from django.urls import URLPattern, path

from zoo_server.pipelines.api import conversion_views, views, worker_views

PIPELINE = "pipelines/<uuid:pipeline_id>"

urlpatterns: list[URLPattern] = [
    path("recipes/validate", views.RecipeValidationView.as_view(), name="recipe-validate"),
    path("recipes/plan", views.RecipePlanView.as_view(), name="recipe-plan"),
    path("conversions", conversion_views.ConversionListView.as_view(), name="conversion-list"),
    path("conversions/plan", conversion_views.ConversionPlanView.as_view(), name="conversion-plan"),
    path("pipelines", views.PipelineListView.as_view(), name="pipeline-list"),
    path(PIPELINE, views.PipelineDetailView.as_view(), name="pipeline-detail"),
    path(f"{PIPELINE}/cancel", views.PipelineCancelView.as_view(), name="pipeline-cancel"),
    path(f"{PIPELINE}/retry", views.PipelineRetryView.as_view(), name="pipeline-retry"),
    path(f"worker/{PIPELINE}/mlflow-run", worker_views.ParentRunView.as_view(), name="worker-pipeline-mlflow-run"),
]
