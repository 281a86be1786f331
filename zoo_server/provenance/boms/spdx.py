"""An SPDX 3.0.1 document with the AI and Dataset profiles, made with the bindings of the SPDX project.

The bindings are generated from the SPDX model (RDF, SHACL) and refuse a document that does not fit it.
"""

import io
import json
import re
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.license import DisjunctiveLicense
from spdx_python_model import v3_0_1 as spdx

from zoo_sdk.vocabulary import LineageRole
from zoo_server.provenance.boms.parts import BomParts, Relation, metric_context

MAX_ENTRIES = 1000
MAX_TEXT = 2000
RELATIONS = {
    LineageRole.TRAINED_ON: "trainedOn",
    LineageRole.CALIBRATED_ON: "trainedOn",
    LineageRole.EVALUATED_ON: "testedOn",
}
PROFILES = ("core", "software", "ai", "dataset", "simpleLicensing")


class _Document:
    """The elements so far; every one gets the same creation information."""

    def __init__(self, parts: BomParts) -> None:
        self.parts = parts
        self.objects = spdx.SHACLObjectSet()
        self.elements: list[Any] = []
        self.creation = spdx.CreationInfo(_id="_:creation", specVersion="3.0.1", created=parts.time)
        team = parts.version.repository.team.name
        self.team = self.add(spdx.Organization, f"urn:zoo:team:{team}", name=team)
        self.creation.createdBy = [self.team]

    def add(self, kind: Any, identifier: str, **fields: Any) -> Any:
        """A new element."""
        element = kind(spdxId=identifier, creationInfo=self.creation, **fields)
        self.objects.add(element)
        self.elements.append(element)
        return element

    def relate(self, source: Any, relation: str, targets: list[Any]) -> None:
        """A relationship, if there is anything to relate to."""
        if targets:
            identifier = uuid5(NAMESPACE_URL, f"{source.spdxId} {relation} {targets[0].spdxId}")
            kind = getattr(spdx.RelationshipType, relation)
            self.add(spdx.Relationship, f"urn:uuid:{identifier}", from_=source, relationshipType=kind, to=targets)


def spdx_bom(parts: BomParts) -> dict[str, Any]:
    """The document as JSON-LD; equal states of a version give equal documents."""
    document = _Document(parts)
    package = _package(document)
    version_id = parts.version.pk
    files = [
        document.add(
            spdx.software_File,
            f"urn:uuid:{uuid5(version_id, file.path)}",
            name=file.path,
            verifiedUsing=_hashes(file.blob_id or file.declared_sha256),
        )
        for file in parts.files
    ]
    document.relate(package, "contains", files)
    _add_relations(document, package)
    _add_licence(document, package)
    root = spdx.SpdxDocument(
        spdxId=f"urn:uuid:{uuid5(version_id, 'spdx')}",
        creationInfo=document.creation,
        name=str(parts.version),
        rootElement=[package],
        element=list(document.elements),
        profileConformance=[getattr(spdx.ProfileIdentifierType, name) for name in PROFILES],
    )
    document.objects.add(root)
    written = io.BytesIO()
    spdx.JSONLDSerializer().write(document.objects, written)
    answer: dict[str, Any] = json.loads(written.getvalue())
    return answer


def _package(document: _Document) -> Any:
    parts = document.parts
    version, repository = parts.version, parts.version.repository
    common: dict[str, Any] = {
        "name": str(repository),
        "summary": repository.title or str(repository),
        "software_packageVersion": str(version.number),
        "software_downloadLocation": parts.address,
        "releaseTime": parts.time,
        "suppliedBy": document.team,
        "verifiedUsing": _hashes(version.digest),
    }
    if parts.left_out:
        common["comment"] = f"{parts.left_out} more files are not listed."
    if parts.is_data:
        return _dataset_package(document, parts.id, common)
    last = parts.steps[-1] if parts.steps else None
    hyperparameters = [(key, json.dumps(value)) for key, value in (last.parameters if last else {}).items()]
    metrics = [(f"{metric.name} ({metric_context(metric)})", repr(metric.value)) for metric in parts.metrics]
    training = "; ".join(f"{step.kind}: {step.method}" for step in parts.steps)[:MAX_TEXT]
    return document.add(
        spdx.ai_AIPackage,
        parts.id,
        software_primaryPurpose=spdx.software_SoftwarePurpose.model,
        ai_domain=[repository.task] if repository.task else [],
        ai_typeOfModel=[repository.architecture] if repository.architecture else [],
        ai_hyperparameter=_entries(hyperparameters),
        ai_metric=_entries(metrics),
        **({"ai_informationAboutTraining": training} if training else {}),
        **common,
    )


def _dataset_package(document: _Document, identifier: str, fields: dict[str, Any]) -> Any:
    kind = spdx.dataset_DatasetType.noAssertion
    purpose = spdx.software_SoftwarePurpose.data
    return document.add(
        spdx.dataset_DatasetPackage, identifier, dataset_datasetType=[kind], software_primaryPurpose=purpose, **fields
    )


def _entries(pairs: list[tuple[str, str]]) -> list[Any]:
    return [spdx.DictionaryEntry(key=key[:MAX_TEXT], value=value[:MAX_TEXT]) for key, value in pairs[:MAX_ENTRIES]]


def _hashes(digest: str) -> list[Any]:
    value = digest.removeprefix("sha256:")
    return [spdx.Hash(algorithm=spdx.HashAlgorithm.sha256, hashValue=value)] if value else []


def _add_relations(document: _Document, package: Any) -> None:
    made: dict[str, Any] = {}
    targets: dict[str, list[Any]] = {}
    for item in document.parts.relations:
        if item.id not in made:
            made[item.id] = _related(document, item)
        found = targets.setdefault(RELATIONS.get(item.role, "descendantOf"), [])
        if made[item.id] not in found:
            found.append(made[item.id])
    for relation, found in targets.items():
        document.relate(package, relation, found)


def _related(document: _Document, item: Relation) -> Any:
    fields: dict[str, Any] = {"name": item.name, "comment": f"role: {item.role}", "verifiedUsing": _hashes(item.digest)}
    if item.number:
        fields["software_packageVersion"] = item.number
    if item.uri:
        fields["software_downloadLocation"] = item.uri
    if item.is_data:
        return _dataset_package(document, item.id, fields)
    purpose = spdx.software_SoftwarePurpose.model
    return document.add(spdx.ai_AIPackage, item.id, software_primaryPurpose=purpose, **fields)


def _add_licence(document: _Document, package: Any) -> None:
    licence = document.parts.version.repository.licence
    if not licence:
        return
    identifier = f"urn:uuid:{uuid5(document.parts.version.pk, 'licence')}"
    made = LicenseFactory().make_from_string(licence)
    known = not isinstance(made, DisjunctiveLicense) or made.id is not None
    fields: dict[str, Any] = {"simplelicensing_licenseExpression": licence}
    if not known:
        reference = "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", licence)
        text = document.add(
            spdx.simplelicensing_SimpleLicensingText, f"{identifier}#text", simplelicensing_licenseText=licence
        )
        entry = spdx.DictionaryEntry(key=reference, value=text.spdxId)
        fields = {"simplelicensing_licenseExpression": reference, "simplelicensing_customIdToUri": [entry]}
    document.relate(
        package, "hasDeclaredLicense", [document.add(spdx.simplelicensing_LicenseExpression, identifier, **fields)]
    )
