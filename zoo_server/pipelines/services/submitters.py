"""On whose behalf a pipeline acts: who started it, with the rights of then, as far as they still hold."""

from zoo_sdk.errors import PermissionDenied
from zoo_sdk.vocabulary import Scope
from zoo_server.pipelines.models import Pipeline
from zoo_server.rest.principals import Principal


def submitter_of(pipeline: Pipeline) -> Principal:
    """The caller that started the pipeline; raises :class:`PermissionDenied` if the account is closed.

    ``scopes`` are those of the token at hand then; the role in the team is looked at whenever something is done.
    """
    user = pipeline.created_by
    if not user.is_active:
        raise PermissionDenied(
            f"The account {user.username!r}, which started the pipeline, is closed.", hint="Start it as somebody else."
        )
    return Principal(
        name=user.username,
        user_id=user.pk,
        scopes=frozenset(Scope(scope) for scope in pipeline.scopes),
        is_superuser=user.is_superuser,
    )
