"""Routes of this app below /api/v1."""

from django.urls import URLPattern, path

from zoo_server.jobs.api import views, worker_views

JOB = "jobs/<uuid:job_id>"
ATTEMPT = "worker/jobs/<uuid:job_id>/attempts/<int:attempt>"

urlpatterns: list[URLPattern] = [
    path("operations", views.OperationListView.as_view(), name="operation-list"),
    path("operations/<str:name>", views.OperationDetailView.as_view(), name="operation-detail"),
    path("jobs", views.JobListView.as_view(), name="job-list"),
    path(JOB, views.JobDetailView.as_view(), name="job-detail"),
    path(f"{JOB}/events", views.JobEventListView.as_view(), name="job-events"),
    path(f"{JOB}/attempts", views.JobAttemptListView.as_view(), name="job-attempts"),
    path(f"{JOB}/cancel", views.JobCancelView.as_view(), name="job-cancel"),
    path(f"{JOB}/retry", views.JobRetryView.as_view(), name="job-retry"),
    path("workers", views.WorkerListView.as_view(), name="worker-list"),
    path("worker/register", worker_views.RegistrationView.as_view(), name="worker-register"),
    path("worker/jobs/<uuid:job_id>/claim", worker_views.ClaimView.as_view(), name="worker-claim"),
    path(f"{ATTEMPT}/heartbeat", worker_views.HeartbeatView.as_view(), name="worker-heartbeat"),
    path(f"{ATTEMPT}/events", worker_views.EventsView.as_view(), name="worker-events"),
    path(f"{ATTEMPT}/blobs/<str:sha256>", worker_views.InputBlobView.as_view(), name="worker-input"),
    path(f"{ATTEMPT}/uploads", worker_views.AttemptUploadsView.as_view(), name="worker-uploads"),
    path(f"{ATTEMPT}/finish", worker_views.FinishView.as_view(), name="worker-finish"),
    path(f"{ATTEMPT}/fail", worker_views.FailView.as_view(), name="worker-fail"),
    path(f"{ATTEMPT}/release", worker_views.ReleaseView.as_view(), name="worker-release"),
    path(f"{ATTEMPT}/mlflow-run", worker_views.MlflowRunView.as_view(), name="worker-mlflow-run"),
]
