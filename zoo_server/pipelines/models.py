"""Pipelines: recipes at work.  A pipeline is the parent of jobs; its steps and edges are rows, so the truth is here.

``Pipeline.state`` and ``PipelineStep.state`` move by compare-and-set in :mod:`zoo_server.pipelines.services` only::

    pipeline   running -> succeeded                         every step ended well, or was not needed
               running -> failed | stopped | cancelled      a step failed; a gate stopped; somebody cancelled
               failed | stopped | cancelled -> running      retry

    step       waiting -> running                           its job was submitted
               waiting -> failed                            its job was refused
               waiting -> skipped                           what it depends on did not succeed; its branch is not taken
               waiting -> cancelled                         the pipeline was cancelled
               running -> succeeded | gated                 the job succeeded, and its gates passed or did not
               running -> failed | cancelled                the job did, or a gate's metric was not measured
               failed | gated | cancelled -> running        retry: the same job again, or its gates
               failed | skipped | cancelled -> waiting      retry
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from zoo_sdk.vocabulary import PipelineState, StepState
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job
from zoo_server.pipelines.recipes.uses import EdgeKind
from zoo_server.rest.choices import choices_of
from zoo_server.rest.identifiers import new_id

KEY_LENGTH = 1200


class Pipeline(models.Model):
    """One run of a recipe.

    ``scopes``: what whoever started it could do with the token at hand; the pipeline never does more.  ``advance_due``:
    more steps are ready than were started in one go.  ``outputs``: as :class:`recipes.graph.GraphOutput`, by name.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="pipelines")
    name = models.CharField(max_length=96)
    recipe = models.TextField()
    recipe_file = models.CharField(max_length=200)
    recipe_digest = models.CharField(max_length=71)
    set_name = models.CharField(max_length=60, blank=True)
    values = models.JSONField(default=dict, blank=True)
    axes = models.JSONField(default=dict, blank=True)
    outputs = models.JSONField(default=dict, blank=True)
    cache = models.CharField(max_length=10, default="use")
    priority = models.PositiveSmallIntegerField(default=5)
    scopes = ArrayField(models.CharField(max_length=20))
    state = models.CharField(max_length=10, choices=choices_of(PipelineState), default=PipelineState.RUNNING)
    advance_due = models.BooleanField(default=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    mlflow_run_id = models.CharField(max_length=64, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)
    request_digest = models.CharField(max_length=71)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_pipeline_per_idempotency_key",
            )
        ]
        indexes = [
            models.Index(fields=["team", "-id"], name="pipeline_by_team"),
            models.Index(fields=["id"], condition=Q(state="running"), name="pipeline_running"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class PipelineInput(models.Model):
    """A version that the caller named, as it was resolved when the pipeline started; ``path`` picks an artifact."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="inputs")
    name = models.CharField(max_length=60)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    path = models.CharField(max_length=400, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pipeline", "name"], name="one_pipeline_input_per_name")]
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {self.version}"


class PipelineStep(models.Model):
    """One step instance.

    ``spec``: a :class:`recipes.graph.StepInstance`.  ``result``: the version that the step stands for, made or
    measured.  ``gates``: what its gates found, once they were looked at.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=KEY_LENGTH)
    name = models.CharField(max_length=40)
    position = models.PositiveIntegerField()
    operation = models.CharField(max_length=100)
    spec = models.JSONField()
    state = models.CharField(max_length=10, choices=choices_of(StepState), default=StepState.WAITING)
    reason = models.CharField(max_length=500, blank=True)
    error = models.JSONField(null=True, blank=True)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, null=True, blank=True, related_name="pipeline_step")
    result = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    gates = models.JSONField(default=list, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "key"], name="one_step_per_key"),
            models.UniqueConstraint(fields=["pipeline", "position"], name="one_pipeline_step_per_position"),
        ]
        ordering = ["position"]

    def __str__(self) -> str:
        return self.key


class PipelineEdge(models.Model):
    """``target`` waits for ``source``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(PipelineStep, on_delete=models.CASCADE, related_name="edges_out")
    target = models.ForeignKey(PipelineStep, on_delete=models.CASCADE, related_name="edges_in")
    kind = models.CharField(max_length=10, choices=choices_of(EdgeKind))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "target", "kind"], name="one_edge_per_kind")]

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} ({self.kind})"
