"""Operations, workers, jobs, attempts, events and the outbox.

``Job.state`` moves by compare-and-set in :mod:`zoo_server.jobs.services` only::

    queued -> running                     a worker claims it: attempt + 1, lease
    running -> succeeded | failed         the attempt reports, fenced by (owner, attempt)
    running -> queued                     lease expired or retryable failure, and attempts are left
    queued -> cancelled                   cancelled before anybody claimed it
    running -> cancelled                  the worker reports that it stopped, or its lease expires while cancelling
    failed | cancelled -> queued          somebody asks for a retry: max_attempts + 1

A job whose result is already there (see :mod:`zoo_server.jobs.result_cache`) is ``succeeded`` from the beginning: no
attempt, no bell.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from zoo_sdk.operations import queue_of
from zoo_sdk.vocabulary import FailureCause, JobState
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Artifact, Version
from zoo_server.rest.choices import choices_of
from zoo_server.rest.identifiers import new_id


class Operation(models.Model):
    """An operation as workers registered it; one row per name and version, and its manifest never changes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=71)
    manifest = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="one_operation_per_version")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Worker(models.Model):
    """A machine's hands: which queues it serves, which operations it knows, and the GPUs (their names) that it gives.

    The environment digests are by operation: of attempts without and with GPUs.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="workers")
    queues = ArrayField(models.CharField(max_length=60))
    operations = models.ManyToManyField(Operation, related_name="workers")
    gpus = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    environment = models.JSONField(default=dict)
    environment_digests = models.JSONField(default=dict)
    gpu_environment_digests = models.JSONField(default=dict)
    registered_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name

    @property
    def isolation(self) -> str:
        """What it says that its operations are kept from: ``network, privileges``, one of them, or ``none``."""
        return str(self.environment.get("isolation", ""))[:60]

    def can_run(self, operation: str, gpus: int) -> bool:
        """Whether jobs of an operation that it offers reach it, and it has so many GPUs."""
        return queue_of(operation, gpus) in self.queues and len(self.gpus) >= gpus

    def most_gpus(self, operation: str) -> int:
        """How many GPUs it gives to a job of an operation that it offers."""
        return len(self.gpus) if queue_of(operation, 1) in self.queues else 0

    def environment_digest(self, operation: str, gpus: int) -> str | None:
        """That of an attempt with so many GPUs here; None if it is not known."""
        digests = self.gpu_environment_digests if gpus else self.environment_digests
        return digests.get(operation)


class Job(models.Model):
    """One run of an operation; the row is the truth, the Celery message only a bell.

    ``work_digest`` says what is to be computed from what; empty if the result must not be kept for others.
    ``cache_key`` is that with the environment in which it succeeded; only jobs that ran have one.  ``cached_from`` is
    the job that ran, for one that took its result.  ``tags`` are further tags of its MLflow run, name to text.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="jobs")
    operation = models.ForeignKey(Operation, on_delete=models.PROTECT, related_name="jobs")
    params = models.JSONField()
    seed = models.BigIntegerField(default=0)
    outputs = models.JSONField(default=dict)
    tags = models.JSONField(default=dict, blank=True)
    work_digest = models.CharField(max_length=71, blank=True)
    cache_key = models.CharField(max_length=71, blank=True)
    cached_from = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reused_by")
    gpus = models.PositiveSmallIntegerField(default=0)
    queue = models.CharField(max_length=60)
    priority = models.PositiveSmallIntegerField(default=5)
    state = models.CharField(max_length=10, choices=choices_of(JobState), default=JobState.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    time_limit_seconds = models.PositiveIntegerField()
    available_at = models.DateTimeField()
    owner = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, blank=True, related_name="running_jobs")
    lease_until = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    progress = models.JSONField(default=dict, blank=True)
    cause = models.CharField(max_length=20, choices=choices_of(FailureCause), blank=True)
    error = models.JSONField(null=True, blank=True)
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "available_at"], name="job_to_ring"),
            models.Index(fields=["state", "lease_until"], name="job_lease"),
            models.Index(fields=["team", "-id"], name="job_by_team"),
            models.Index(fields=["cache_key", "-id"], condition=~models.Q(cache_key=""), name="job_by_cache_key"),
        ]

    def __str__(self) -> str:
        return f"{self.operation.name} {self.id}"


class JobInput(models.Model):
    """One version handed to an input port; ``artifact`` is the one that the port's formats selected."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="inputs")
    port = models.CharField(max_length=40)
    position = models.PositiveIntegerField()
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="job_inputs")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    weight = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "port", "position"], name="one_input_per_position")]
        ordering = ["port", "position"]

    def __str__(self) -> str:
        return f"{self.port}: {self.version}"


class JobAttempt(models.Model):
    """One try at a job."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, related_name="attempts")
    worker_name = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=choices_of(JobState), default=JobState.RUNNING)
    cause = models.CharField(max_length=20, choices=choices_of(FailureCause), blank=True)
    error = models.JSONField(null=True, blank=True)
    environment = models.JSONField(default=dict)
    report_digest = models.CharField(max_length=71, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="one_attempt_per_number")]
        ordering = ["number"]

    def __str__(self) -> str:
        return f"attempt {self.number}"


class JobEvent(models.Model):
    """Something an attempt said: progress, a metric point, a log line, a state.  Numbered, so resending is harmless."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    attempt = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    time = models.DateTimeField()
    kind = models.CharField(max_length=10)
    body = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "attempt", "number"], name="one_event_per_number")]
        indexes = [models.Index(fields=["job", "id"], name="event_by_job")]

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


class JobDispatch(models.Model):
    """The outbox: written with the job, deleted once a worker has claimed it; the sweep rings again for old ones."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="dispatch")
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    times_sent = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "job dispatches"
        indexes = [models.Index(fields=["due_at"], name="dispatch_due")]

    def __str__(self) -> str:
        return f"bell for {self.job_id}"


class IdempotencyKey(models.Model):
    """What an ``Idempotency-Key`` led to, so that a repeated submission answers with the same job."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    request_digest = models.CharField(max_length=71)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_job_per_idempotency_key")]

    def __str__(self) -> str:
        return self.key
