"""Routes of keys, attestations, bills of materials and provenance."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.catalog.api.routes import CatalogView, KindView, answer
from zoo_server.catalog.services.authorisation import require
from zoo_server.provenance import selectors
from zoo_server.provenance.api.answers import AttestationQuery, AttestationsAnswer, SigningKeysAnswer
from zoo_server.provenance.api.presentation import describe_evidence, describe_keys
from zoo_server.provenance.services.attesting import attest_if_due, attest_now
from zoo_server.rest.permissions import PUBLIC
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import validated


class SigningKeys(CatalogView):
    """The keys that this registry signs with."""

    scopes: ClassVar[Any] = {"GET": PUBLIC}
    authentication_classes = ()
    operations = {"GET": "signing_keys"}

    @extend_schema(responses=SigningKeysAnswer, auth=[])
    def get(self, request: Request) -> Response:
        """List the public halves: whoever was given a file can check it without an account."""
        return answer(SigningKeysAnswer(results=describe_keys(selectors.published_keys())))


class Attestations(KindView):
    """What proves a version."""

    scopes = {"GET": Scope.READ, "POST": Scope.WRITE}
    operations = {"GET": "attestations", "POST": "attest"}

    @extend_schema(parameters=[AttestationQuery], responses=AttestationsAnswer)
    def get(self, request: Request, **_: str) -> Response:
        """Its signature, its provenance and, with `chain`, that of every ancestor."""
        chain = validated(AttestationQuery, request.query_params)["chain"]
        return self._answer(request, chain=chain)

    @extend_schema(request=None, responses=AttestationsAnswer)
    def post(self, request: Request, **_: str) -> Response:
        """Make what it lacks now, with the present key."""
        version = self.version()
        require(principal=principal_of(request), repository=version.repository, scope=Scope.WRITE)
        attest_now(version)
        return self._answer(request, chain=False)

    def _answer(self, request: Request, *, chain: bool) -> Response:
        version, principal = self.version(), principal_of(request)
        evidence = selectors.evidence_for(principal=principal, version=version, chain=chain)
        family = [version.pk, *evidence.ancestor_ids]
        if (evidence.provenance is None or evidence.left_out) and attest_if_due(family):  # sealed a moment ago
            evidence = selectors.evidence_for(principal=principal, version=version, chain=chain)
        return answer(describe_evidence(evidence, selectors.published_keys()))
