"""Workers register: who they are and what they can do."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from zoo_sdk.errors import Conflict, InvalidInput, PermissionDenied
from zoo_sdk.messages import PROTOCOL_VERSION, WorkerRegistration
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import Scope
from zoo_server.audit.services import record_event
from zoo_server.jobs.models import Operation, Worker
from zoo_server.jobs.services.parameters import check_schema
from zoo_server.jobs.services.stored import storable
from zoo_server.rest.principals import Principal

MAX_OPERATIONS = 500
MAX_QUEUES = 100


class OperationClash(Conflict):
    """Two workers mean different things by the same operation name and version."""

    code = "operation-clash"


class WorkerNameTaken(Conflict):
    """The worker's name belongs to another user's worker."""

    code = "worker-name-taken"


def require_worker(principal: Principal) -> UUID:
    """The worker's user id; refuses a caller without the scope ``worker``."""
    if principal.user_id is None or not principal.may(Scope.WORKER):
        raise PermissionDenied(
            "The worker API needs a token with the scope 'worker'.",
            hint="Make one with `zoo token create --scope worker` and set ZOO_WORKER_TOKEN.",
            facts={"scope": Scope.WORKER.value},
        )
    return principal.user_id


def register_worker(*, principal: Principal, registration: WorkerRegistration) -> Worker:
    """Make the worker and its operations known; idempotent, and cheap when nothing changed.

    A worker registers when it starts and, while it is idle, every ``heartbeat_seconds`` or so: that is how the registry
    knows that it is alive.  Operations that it no longer offers are taken from it.

    Raises:
        OperationClash: an operation of this name and version is known with another manifest.
        WorkerNameTaken: another user's worker has this name.
        InvalidInput: the protocol differs, or a parameter schema is not a JSON Schema.

    """
    user_id = require_worker(principal)
    if registration.protocol != PROTOCOL_VERSION:
        raise InvalidInput(
            f"The worker speaks protocol {registration.protocol}; this registry speaks {PROTOCOL_VERSION}.",
            hint="Install the worker and the registry from the same release.",
            facts={"field": "protocol", "allowed": PROTOCOL_VERSION},
        )
    if len(registration.operations) > MAX_OPERATIONS or len(registration.queues) > MAX_QUEUES:
        raise InvalidInput(f"A worker may offer {MAX_OPERATIONS} operations and {MAX_QUEUES} queues at most.")
    with transaction.atomic():
        operations = _known_operations(registration.operations)
        worker, created = Worker.objects.select_for_update(of=("self",)).get_or_create(
            name=registration.name,
            defaults={"user_id": user_id, "queues": list(registration.queues), "last_seen_at": Now()},
        )
        if worker.user_id != user_id:
            raise WorkerNameTaken(
                f"The worker name {worker.name!r} belongs to another user.", hint="Set ZOO_WORKER_NAME to another name."
            )
        Worker.objects.filter(pk=worker.pk).update(
            queues=list(registration.queues),
            gpus=storable(list(registration.gpus)),
            environment=storable(registration.environment),
            environment_digests=registration.environment_digests,
            gpu_environment_digests=registration.gpu_environment_digests,
            last_seen_at=Now(),
        )
        before = set(worker.operations.values_list("pk", flat=True))
        offered = {operation.pk for operation in operations}
        if before != offered or created:
            worker.operations.set(operations)
            details = {"operations": sorted(map(str, operations)), "queues": list(registration.queues)}
            record_event(actor=principal, action="worker.registered", subject=worker, details=details)
    return worker


def _known_operations(manifests: Sequence[OperationManifest]) -> list[Operation]:
    """The rows of these manifests, made where they are missing; a digest that differs is a clash."""
    wanted = {(manifest.name, manifest.version): manifest for manifest in manifests}
    if len(wanted) != len(manifests):
        raise InvalidInput("The registration names an operation twice.", facts={"field": "operations"})
    names = [name for name, _ in wanted]
    found = {(row.name, row.version): row for row in Operation.objects.filter(name__in=names)}
    missing = [manifest for key, manifest in wanted.items() if key not in found]
    for manifest in missing:
        check_schema(operation=manifest.name, schema=manifest.params_schema)
    if missing:
        # ignore_conflicts: another worker may register the same at this moment; what it wrote is compared below.
        Operation.objects.bulk_create(
            [
                Operation(
                    name=manifest.name,
                    version=manifest.version,
                    digest=manifest.digest,
                    manifest=manifest.model_dump(mode="json"),
                )
                for manifest in missing
            ],
            ignore_conflicts=True,
        )
        found = {(row.name, row.version): row for row in Operation.objects.filter(name__in=names)}
    for key, manifest in wanted.items():
        if found[key].digest != manifest.digest:
            raise OperationClash(
                f"{manifest.name} version {manifest.version} is known with the manifest {found[key].digest}; this "
                f"worker offers {manifest.digest}.",
                hint="Give the changed operation a higher version, or install the same plugin release everywhere.",
                facts={
                    "operation": manifest.name,
                    "version": manifest.version,
                    "known": found[key].digest,
                    "offered": manifest.digest,
                },
            )
    return [found[key] for key in wanted]
