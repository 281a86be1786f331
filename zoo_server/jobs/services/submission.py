"""Submitting a job: everything is checked now, so that no worker starts something that cannot end well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from zoo_sdk.errors import InvalidInput, ZooError
from zoo_sdk.names import Reference
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import deny, own_teams_with, require_in_team, team_for, team_scopes
from zoo_server.audit.services import record_event
from zoo_server.jobs.cache_keys import Work, work_digests
from zoo_server.jobs.models import IdempotencyKey, Job, JobDispatch, JobInput, Operation
from zoo_server.jobs.requests import JobSubmission
from zoo_server.jobs.result_cache import CachedResult, cached_results, look_up
from zoo_server.jobs.selectors import newest_operations
from zoo_server.jobs.services.devices import gpus_fault, gpus_of
from zoo_server.jobs.services.dispatch import ring_after_commit
from zoo_server.jobs.services.faults import Fault, InvalidSubmission, known_names
from zoo_server.jobs.services.idempotency import check_key, job_of_key
from zoo_server.jobs.services.inputs import ChosenInput, choose_inputs
from zoo_server.jobs.services.parameters import check_params
from zoo_server.jobs.services.ports import BASE_ROLES
from zoo_server.jobs.services.reuse import reuse_result
from zoo_server.jobs.services.stored import digest_of
from zoo_server.rest.principals import Principal


@dataclass
class SubmissionPlan:
    """A submission on its way to a job: what has been found out, and what is wrong."""

    principal: Principal
    submission: JobSubmission
    operation: Operation
    manifest: OperationManifest
    faults: list[Fault] = field(default_factory=list)
    inputs: list[ChosenInput] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    gpus: int = 0
    team: Team | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Work:
        """What is to be computed, for the result cache."""
        target = next(iter(self.outputs.values()), None)
        return Work(self.operation, self.params, self.submission.seed, self.inputs, target, self.gpus)


def submit_job(
    *,
    principal: Principal,
    submission: JobSubmission,
    idempotency_key: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> tuple[Job, bool]:
    """Check everything and queue the job; its bell rings after the commit.  Returns the job and whether it is new.

    ``tags`` are what other apps want to find on the job's MLflow run; callers over REST cannot set them.

    If the result cache has what the job would make (and the submission does not forbid it), the job has succeeded
    before this returns, and nothing is run.

    With ``idempotency_key``, the same submission by the same user answers with the job that the first one made, also
    when both arrive at once.

    Raises:
        InvalidSubmission: something is wrong with it; ``facts["errors"]`` lists field, value and what is allowed.
        NotFound, PermissionDenied: the caller may not submit jobs of that team.
        IdempotencyMismatch: the key was used for another submission.

    """
    user_id = user_id_of(principal)
    check_key(idempotency_key)
    digest = digest_of(submission)
    known = job_of_key(user_id=user_id, key=idempotency_key, request_digest=digest)
    if known is not None:
        return known, False
    plan = plan_submission(principal=principal, submission=submission)
    plan.tags = dict(tags or {})
    try:
        with transaction.atomic():
            return _write(plan, idempotency_key, digest), True
    except IntegrityError:
        # Somebody with the same key was first; PostgreSQL let us wait for their commit.
        known = job_of_key(user_id=user_id, key=idempotency_key, request_digest=digest)
        if known is None:
            raise
        return known, False


def user_id_of(principal: Principal) -> UUID:
    """The submitter's id; refuses anonymous callers."""
    if principal.user_id is None:
        deny(Scope.SUBMIT, "any team")
    return principal.user_id


def plan_submission(*, principal: Principal, submission: JobSubmission) -> SubmissionPlan:
    """Everything that submitting would find out, without submitting; raises the same errors."""
    offered = {row.name: row for row in newest_operations()}
    operation = offered.get(submission.operation)
    if operation is None:
        raise InvalidSubmission(
            [
                Fault(
                    "operation",
                    f"{submission.operation!r} is not offered by any worker",
                    submission.operation,
                    known_names(submission.operation, offered),
                )
            ]
        )
    manifest = OperationManifest.model_validate(operation.manifest)
    plan = SubmissionPlan(principal, submission, operation, manifest)
    plan.params, faults = check_params(schema=manifest.params_schema, given=submission.params)
    plan.faults += faults
    plan.inputs, faults = choose_inputs(principal=principal, manifest=manifest, requested=submission.inputs_by_port())
    plan.faults += faults
    plan.gpus = gpus_of(manifest, submission.gpus)
    fault = gpus_fault(manifest, submission.gpus)
    plan.faults += [fault] if fault else []
    target = _output_target(plan)
    plan.team = _team_of(plan, target)
    _check_target(plan, target)
    if plan.faults:
        raise InvalidSubmission(plan.faults)
    return plan


def _base_input(inputs: list[ChosenInput]) -> ChosenInput | None:
    """The input whose line a made version continues: the first that is a base, a source of conversion or of weights."""
    return next((item for item in inputs if item.port.role in BASE_ROLES), None)


def _output_target(plan: SubmissionPlan) -> Reference | None:
    """The repository for the result, or None if the operation makes none or it is not known."""
    ports = {port.name: port for port in plan.manifest.outputs}
    targets: dict[str, Reference] = {}
    for name, text in plan.submission.outputs.items():
        path = f"outputs.{name[:60]}"
        if name not in ports:
            plan.faults.append(Fault(path, f"is not an output of {plan.manifest.name}", name, known_names(name, ports)))
            continue
        try:
            target = Reference.parse(text[:300])
        except InvalidInput as error:
            plan.faults.append(Fault(path, error.detail, text, "team/name of a model"))
            continue
        if target.selector or target.path:
            plan.faults.append(Fault(path, f"{text!r} names a version", text, "team/name without @ and #"))
        targets[name] = target
    if len({str(target) for target in targets.values()}) > 1:
        fault = Fault(
            "outputs", "name more than one model", plan.submission.outputs, "one model for all outputs of a job"
        )
        plan.faults.append(fault)
    if targets or not ports or plan.submission.outputs:
        return next(iter(targets.values()), None)
    base = _base_input(plan.inputs)
    if base is None:
        first = plan.manifest.outputs[0].name
        why = f"is required: {plan.manifest.name} has no base whose model could take the result"
        plan.faults.append(Fault(f"outputs.{first}", why, None, "team/name of a model, new or existing"))
        return None
    repository = base.version.repository
    return Reference(team=repository.team.name, name=repository.name)


def _team_of(plan: SubmissionPlan, target: Reference | None) -> Team | None:
    """The job's team: as asked; else that of the output, of an input where the caller may submit, or its only one."""
    principal, named = plan.principal, plan.submission.team or (target.team if target else None)
    if named:
        try:
            return team_for(principal=principal, name=named, scope=Scope.SUBMIT)
        except ZooError:
            if plan.submission.team or not plan.submission.outputs:
                raise
            plan.faults.append(
                Fault("outputs", f"you may not submit jobs of the team {named!r}", named, "a team of yours")
            )
            return None
    for item in plan.inputs:
        team = item.version.repository.team
        if Scope.SUBMIT in team_scopes(principal=principal, team=team):
            return team
    able = own_teams_with(principal=principal, scope=Scope.SUBMIT)
    if len(able) == 1:
        return able[0]
    allowed = f"one of: {', '.join(team.name for team in able) or 'none; join a team as engineer first'}"
    plan.faults.append(Fault("team", "is required: it does not follow from the inputs and outputs", None, allowed))
    return None


def _check_target(plan: SubmissionPlan, target: Reference | None) -> None:
    """The result goes to a model of the job's own team, into which the caller may write."""
    if target is None or plan.team is None:
        return
    first = plan.manifest.outputs[0].name
    path = f"outputs.{first}"
    if target.team != plan.team.name:
        fault = Fault(path, f"{target} is not a model of the job's team", str(target), f"a model of {plan.team.name!r}")
        plan.faults.append(fault)
        return
    require_in_team(principal=plan.principal, team=plan.team, scope=Scope.WRITE)
    plan.outputs = {first: f"{target.team}/{target.name}"}


def cached_result(*, principal: Principal, submission: JobSubmission) -> CachedResult | None:
    """The result that submitting this would take from the cache, without submitting; raises what submitting raises."""
    work = plan_submission(principal=principal, submission=submission).work
    return cached_results(principal=principal, works=[work])[0] if submission.cache == "use" else None


def _write(plan: SubmissionPlan, idempotency_key: str | None, digest: str) -> Job:
    """Job, inputs, bell and audit event, or the result of an equal job: all or nothing."""
    work, mode = plan.work, plan.submission.cache
    work_digest = work_digests([work])[0] if work.is_repeatable and mode != "off" else ""
    found = None
    if work_digest and mode == "use":
        found = look_up(principal=plan.principal, works=[work], digests=[work_digest])[0]
    job = _write_job(plan, work_digest)
    if idempotency_key:
        IdempotencyKey.objects.create(
            user_id=user_id_of(plan.principal), key=idempotency_key, request_digest=digest, job=job
        )
    details = {
        "operation": str(plan.operation),
        "inputs": [f"{item.port.name}: {item.version}" for item in plan.inputs],
        "outputs": plan.outputs,
        "gpus": plan.gpus,
    }
    record_event(actor=plan.principal, action="job.submitted", subject=job, team=job.team.name, details=details)
    if found is not None:
        return reuse_result(principal=plan.principal, job=job, cached=found)
    JobDispatch.objects.create(job=job, due_at=Now())
    ring_after_commit(job)
    return job


def _write_job(plan: SubmissionPlan, work_digest: str) -> Job:
    if plan.team is None:
        raise InvalidInput("The job has no team.", facts={"field": "team"})
    submission, manifest = plan.submission, plan.manifest
    job = Job(
        team=plan.team,
        operation=plan.operation,
        params=plan.params,
        seed=submission.seed,
        outputs=plan.outputs,
        tags=plan.tags,
        work_digest=work_digest,
        gpus=plan.gpus,
        queue=manifest.queue_for(plan.gpus),
        priority=submission.priority,
        max_attempts=submission.max_attempts,
        time_limit_seconds=submission.time_limit_seconds or manifest.resources.time_limit_seconds,
        available_at=Now(),
        created_by_id=user_id_of(plan.principal),
    )
    job.save(force_insert=True)
    JobInput.objects.bulk_create(
        JobInput(
            job=job,
            port=item.port.name,
            position=item.position,
            version=item.version,
            artifact=item.artifact,
            weight=item.weight,
        )
        for item in plan.inputs
    )
    return job
