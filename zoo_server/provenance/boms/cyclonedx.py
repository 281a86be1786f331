"""A CycloneDX 1.6 ML-BOM: the model with its files, its pedigree, its data sets and its model card.

Made with cyclonedx-python-lib, except for the model card, which that library does not know: it is put into its output
as https://cyclonedx.org/docs/1.6/json describes it.
"""

import json
from collections.abc import Iterable
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6

from zoo_sdk import __version__
from zoo_server.provenance.boms.parts import BomParts, Relation, metric_context

MAX_TEXT = 2000


def cyclonedx_bom(parts: BomParts) -> dict[str, Any]:
    """The document; equal states of a version give equal documents."""
    version = parts.version
    subject = _subject(parts)
    bom = Bom(serial_number=version.pk, version=1, components=[_data(item) for item in parts.data])
    bom.metadata.timestamp = parts.time
    bom.metadata.component = subject
    bom.metadata.supplier = OrganizationalEntity(name=version.repository.team.name)
    bom.metadata.tools.components.add(
        Component(name="zoo-server", version=__version__, type=ComponentType.APPLICATION, bom_ref="zoo-server")
    )
    needed = {item.id for item in parts.data}
    bom.dependencies.add(Dependency(BomRef(parts.id), [Dependency(BomRef(item)) for item in sorted(needed)]))
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    if not parts.is_data:
        document["metadata"]["component"]["modelCard"] = _model_card(parts)
    return document


def _subject(parts: BomParts) -> Component:
    version, repository = parts.version, parts.version.repository
    properties = [Property(name="zoo:state", value=version.state), Property(name="zoo:manifest", value=version.digest)]
    if parts.left_out:
        properties.append(Property(name="zoo:files-left-out", value=str(parts.left_out)))
    return Component(
        name=repository.name,
        group=repository.team.name,
        version=str(version.number),
        type=ComponentType.DATA if parts.is_data else ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=parts.id,
        description=repository.title or None,
        licenses=[LicenseFactory().make_from_string(repository.licence)] if repository.licence else [],
        hashes=_hashes(version.digest),
        components=[_file(file.path, file.blob_id or file.declared_sha256) for file in parts.files],
        pedigree=Pedigree(ancestors=[_ancestor(item) for item in parts.ancestors]) if parts.ancestors else None,
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(parts.address)),
            ExternalReference(type=ExternalReferenceType.ATTESTATION, url=XsUri(f"{parts.address}/attestations")),
        ],
        properties=properties,
    )


def _file(path: str, digest: str) -> Component:
    return Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=_hashes(digest))


def _ancestor(item: Relation) -> Component:
    properties = [Property(name="zoo:role", value=item.role)]
    if item.weight is not None:
        properties.append(Property(name="zoo:weight", value=f"{item.weight:g}"))
    addresses = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(item.uri))] if item.uri else []
    return Component(
        name=item.name,
        version=item.number or None,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"{item.id}#{item.role}",
        hashes=_hashes(item.digest),
        external_references=addresses,
        properties=properties,
    )


def _data(item: Relation) -> Component:
    addresses = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(item.uri))] if item.uri else []
    return Component(
        name=item.name,
        version=item.number or None,
        type=ComponentType.DATA,
        bom_ref=item.id,
        hashes=_hashes(item.digest),
        external_references=addresses,
        properties=[Property(name="zoo:role", value=item.role)],
    )


def _hashes(digest: str) -> Iterable[HashType]:
    value = digest.removeprefix("sha256:")
    return [HashType(alg=HashAlgorithm.SHA_256, content=value)] if value else []


def _model_card(parts: BomParts) -> dict[str, Any]:
    repository = parts.version.repository
    parameters: dict[str, Any] = {
        "task": repository.task,
        "modelArchitecture": repository.architecture,
        "datasets": [{"ref": item.id} for item in parts.data],
        **_formats(parts),
    }
    metrics = [
        {"type": metric.name, "value": repr(metric.value), "slice": metric_context(metric)[:MAX_TEXT]}
        for metric in parts.metrics
    ]
    steps = [{"name": f"zoo:step:{step.position}", "value": f"{step.kind}: {step.method}"} for step in parts.steps]
    card = {
        "modelParameters": {name: value for name, value in parameters.items() if value},
        "quantitativeAnalysis": {"performanceMetrics": metrics} if metrics else None,
        "properties": steps,
    }
    return {name: value for name, value in card.items() if value}


def _formats(parts: BomParts) -> dict[str, list[dict[str, str]]]:
    """Inputs and outputs of the first artifact with a signature: name, dtype and shape."""
    signature = next((item.signature for item in parts.version.artifacts.all() if item.signature), None) or {}
    return {side: [{"format": _tensor(tensor)} for tensor in signature.get(side, [])] for side in ("inputs", "outputs")}


def _tensor(tensor: dict[str, Any]) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in tensor.get("shape", []))
    return f"{tensor.get('name', '')}: {tensor.get('dtype', '')}[{shape}] {tensor.get('layout', '')}".strip()
