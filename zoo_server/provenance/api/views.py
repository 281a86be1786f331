"""Routes of keys, attestations, bills of materials and provenance."""

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.audit.api.views import AuditView
from zoo_server.catalog.api.routes import CatalogView, KindView, answer
from zoo_server.catalog.services.authorisation import require
from zoo_server.provenance import selectors
from zoo_server.provenance.api.answers import (
    AttestationQuery,
    AttestationsAnswer,
    BomQuery,
    CheckpointAnswer,
    ProvenanceAnswer,
    SigningKeysAnswer,
)
from zoo_server.provenance.api.presentation import describe_evidence, describe_keys
from zoo_server.provenance.api.telling import tell
from zoo_server.provenance.boms.cyclonedx import cyclonedx_bom
from zoo_server.provenance.boms.parts import bom_parts
from zoo_server.provenance.boms.spdx import spdx_bom
from zoo_server.provenance.bundles.records import imports_of
from zoo_server.provenance.services.attesting import attest_if_due, attest_now
from zoo_server.provenance.services.checkpoints import make_checkpoint
from zoo_server.provenance.story import story_of
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


class Provenance(KindView):
    """Where a version comes from, and who decided what."""

    scopes = {"GET": Scope.READ}
    operations = {"GET": "provenance"}

    @extend_schema(responses=ProvenanceAnswer)
    def get(self, request: Request, **_: str) -> Response:
        """The whole story: data sets, external weights, jobs, versions, approvals and aliases."""
        story = story_of(principal=principal_of(request), version=self.version())
        return answer(tell(story, imports_of([chapter.version.pk for chapter in story.chapters])))


class BillOfMaterials(KindView):
    """What a version is made of, in a format of others."""

    scopes = {"GET": Scope.READ}
    operations = {"GET": "bill_of_materials"}
    MEDIA_TYPES: ClassVar[Mapping[str, str]] = {
        "cyclonedx": "application/vnd.cyclonedx+json; version=1.6",
        "spdx": "application/spdx+json",
    }

    @extend_schema(parameters=[BomQuery], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, **_: str) -> Response:
        """The CycloneDX ML-BOM (default) or the SPDX document: files, ancestors, data sets, licence, metrics."""
        wanted = validated(BomQuery, request.query_params)["format"]
        parts = bom_parts(principal=principal_of(request), version=self.version())
        document = cyclonedx_bom(parts) if wanted == "cyclonedx" else spdx_bom(parts)
        return Response(document, content_type=self.MEDIA_TYPES[wanted])


class AuditCheckpoint(AuditView):
    """What the audit log is now, signed: to be kept where nobody who can change the log can change it."""

    @extend_schema(operation_id="audit_checkpoint", responses=CheckpointAnswer)
    def get(self, request: Request) -> Response:
        """Sign the sequence and the hash of the newest link; 503 without a signing key."""
        self.audited_teams(request)
        made = make_checkpoint()
        return answer(CheckpointAnswer(sequence=made.sequence, hash=made.hash, envelope=made.envelope))


class Attestations(KindView):
    """What proves a version."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADD}
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
        require(principal=principal_of(request), repository=version.repository, scope=Scope.ADD)
        attest_now(version)
        return self._answer(request, chain=False)

    def _answer(self, request: Request, *, chain: bool) -> Response:
        version, principal = self.version(), principal_of(request)
        evidence = selectors.evidence_for(principal=principal, version=version, chain=chain)
        family = [version.pk, *evidence.ancestor_ids]
        if (evidence.provenance is None or evidence.left_out) and attest_if_due(family):  # sealed a moment ago
            evidence = selectors.evidence_for(principal=principal, version=version, chain=chain)
        return answer(describe_evidence(evidence, selectors.published_keys()))
