"""A version whose files are not mirrored is not handed to workers; once they are, it is an input like any other."""

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.accounts.models import Team
from zoo_server.artifacts.models import Blob
from zoo_server.catalog import services
from zoo_server.catalog.models import Version, VersionFile
from zoo_server.catalog.services.files import RemoteDeclaration
from zoo_server.rest.principals import SYSTEM

from .conftest import Submit


def test_a_remote_model_is_refused_with_what_to_do_until_it_is_mirrored(
    submit: Submit, team: Team, data: Version
) -> None:
    model = services.create_repository(principal=SYSTEM, team=team, kind=RepositoryKind.MODEL, name="remote")
    draft = services.create_version(principal=SYSTEM, repository=model)
    services.add_remote_file(
        principal=SYSTEM,
        version=draft,
        path="net.safetensors",
        address="https://example.org/net.safetensors",
        declared=RemoteDeclaration("safetensors"),
    )
    description = ArtifactDescription(format="safetensors", files=("net.safetensors",))
    services.add_artifact(principal=SYSTEM, version=draft, description=description)
    services.seal_version(principal=SYSTEM, version=draft)
    inputs = {"data": str(data), "init": "vision/remote@1"}

    refused = submit(inputs=inputs)
    assert refused.status_code == 422
    (fault,) = refused.json()["errors"]
    assert fault["field"] == "inputs.init"
    assert "not mirrored" in fault["message"]
    assert "zoo catalog fetch vision/remote" in str(fault)

    blob = Blob.objects.create(sha256=f"sha256:{'a' * 64}", size=5, format="safetensors")
    VersionFile.objects.filter(version=draft).update(blob=blob)
    assert submit(inputs=inputs).status_code == 202
