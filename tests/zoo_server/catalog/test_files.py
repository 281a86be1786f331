"""Files and artifacts of drafts: safe paths, possession, and formats that fit the bytes."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from tests.zoo_server.factories import make_member, make_team, make_user, principal_for
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team, User
from zoo_server.artifacts.models import Upload
from zoo_server.catalog import services
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import Principal

from .conftest import hold, make_blob, make_draft

BAD_PATHS = {
    "empty": "",
    "absolute": "/etc/passwd",
    "traversal": "../secret",
    "traversal inside": "weights/../../secret",
    "dot": "./model",
    "double slash": "a//b",
    "trailing slash": "a/",
    "NUL": "model\0.bin",
    "newline": "model\n.bin",
    "backslash": "a\\b",
    "drive": "C:model",
    "home": "~/model",
    "over-long": "/".join(["a" * 100] * 5),
    "over-long segment": "ä" * 101,
    "not normalised": "a\u0308.bin",
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_an_unsafe_path_is_refused(draft: Version, principal: Principal, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        services.add_file(principal=principal, version=draft, path=path, blob=make_blob())
    assert caught.value.facts["field"] == "path"
    assert draft.files.count() == 1


@pytest.mark.parametrize(
    ("first", "second"), [("weights", "weights/a/b"), ("weights/a/b", "weights"), ("a/b", "a/b/c")]
)
def test_no_file_may_lie_where_another_needs_a_folder(
    model: Repository, principal: Principal, first: str, second: str
) -> None:
    version = make_draft(model, first)
    with pytest.raises(InvalidInput, match="folder of the other"):
        services.add_file(principal=principal, version=version, path=second, blob=make_blob())


def test_names_that_only_begin_alike_are_no_folder_of_each_other(model: Repository, principal: Principal) -> None:
    version = make_draft(model, "weights/a", "weights/ab", "weights-b", "100%", "100_/x")
    services.add_file(principal=principal, version=version, path="100", blob=make_blob())
    assert version.files.count() == 6


def test_a_path_is_taken_once(draft: Version, principal: Principal) -> None:
    with pytest.raises(Conflict, match="already has a file"):
        services.add_file(principal=principal, version=draft, path="model.safetensors", blob=make_blob())


def test_a_reader_may_not_add_a_file(draft: Version, team: Team) -> None:
    reader = principal_for(make_member(team, TeamRole.READER))
    with pytest.raises(PermissionDenied):
        services.add_file(principal=reader, version=draft, path="x", blob=make_blob())


@pytest.fixture
def upload(team: Team, member: User) -> Upload:
    blob = hold(team, make_blob())
    return Upload.objects.create(
        team=team,
        created_by=member,
        size=blob.size,
        state=Upload.State.COMPLETE,
        blob=blob,
        expires_at=timezone.now() + timedelta(days=1),
    )


def test_a_completed_upload_of_the_team_becomes_a_file(draft: Version, principal: Principal, upload: Upload) -> None:
    file = services.add_uploaded_file(principal=principal, version=draft, path="a.bin", upload_id=upload.pk)
    assert file.blob == upload.blob


def test_an_open_upload_does_not(draft: Version, principal: Principal, upload: Upload) -> None:
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.OPEN, blob=None)
    with pytest.raises(Conflict, match="is open"):
        services.add_uploaded_file(principal=principal, version=draft, path="a.bin", upload_id=upload.pk)


def test_an_upload_of_another_team_does_not(draft: Version, principal: Principal, upload: Upload) -> None:
    Upload.objects.filter(pk=upload.pk).update(team=make_team("other"))
    with pytest.raises(NotFound):
        services.add_uploaded_file(principal=principal, version=draft, path="a.bin", upload_id=upload.pk)


def test_knowing_a_digest_is_not_possession(draft: Version, principal: Principal, team: Team) -> None:
    blob = hold(make_team("other"), make_blob())
    with pytest.raises(NotFound):
        services.add_held_file(principal=principal, version=draft, path="a.bin", sha256=blob.sha256)
    hold(team, blob)
    assert services.add_held_file(principal=principal, version=draft, path="a.bin", sha256=blob.sha256).blob == blob


def test_an_outsider_cannot_find_out_what_a_team_holds(draft: Version, team: Team) -> None:
    held, unknown = hold(team, make_blob()), f"sha256:{'0' * 64}"
    outsider = principal_for(make_member(make_team("other")))
    for digest in (held.sha256, unknown):
        with pytest.raises(PermissionDenied):
            services.add_held_file(principal=outsider, version=draft, path="a.bin", sha256=digest)


def test_an_upload_that_a_workers_attempt_made_is_not_for_others(
    draft: Version, principal: Principal, upload: Upload
) -> None:
    Upload.objects.filter(pk=upload.pk).update(job_id=uuid4(), attempt=1, created_by=make_user())
    with pytest.raises(NotFound):
        services.add_uploaded_file(principal=principal, version=draft, path="a.bin", upload_id=upload.pk)


def declare(principal: Principal, model: Repository, declared: str, *identified: str) -> object:
    version = make_draft(model, "readme")
    paths = tuple(f"file-{index}" for index in range(len(identified)))
    for path, kind in zip(paths, identified, strict=True):
        blob = make_blob(identified=kind)
        services.add_file(principal=principal, version=version, path=path, blob=blob)
    description = ArtifactDescription(format=declared, files=paths)
    return services.add_artifact(principal=principal, version=version, description=description)


@pytest.mark.parametrize(
    ("declared", "identified"),
    [
        ("safetensors", ("safetensors",)),
        ("onnx", ("onnx", "opaque")),
        ("openvino-ir", ("openvino-ir", "opaque")),
        ("pickle", ("pickle",)),
        ("pickle", ("opaque",)),
        ("opaque", ("pickle",)),
        ("image-folder", ("png", "jpeg", "text")),
        ("idx", ("idx",)),
    ],
)
def test_bytes_that_fit_the_declared_format_are_accepted(
    model: Repository, principal: Principal, declared: str, identified: tuple[str, ...]
) -> None:
    artifact = declare(principal, model, declared, *identified)
    assert [file.path for file in artifact.files.all()] == [f"file-{index}" for index in range(len(identified))]


@pytest.mark.parametrize(
    ("declared", "identified"),
    [
        ("safetensors", ("pickle",)),
        ("safetensors", ("opaque",)),
        ("safetensors", ("safetensors", "pickle")),
        ("onnx", ("opaque",)),
        ("onnx", ("onnx", "pickle")),
        ("openvino-ir", ("opaque", "openvino-ir")),
        ("image-folder", ("png", "pickle")),
        ("pickle", ("safetensors",)),
        ("idx", ("npz",)),
    ],
)
def test_bytes_of_another_format_are_refused(
    model: Repository, principal: Principal, declared: str, identified: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput, match="its bytes are") as caught:
        declare(principal, model, declared, *identified)
    assert caught.value.facts["declared"] == declared


def test_an_artifact_gets_the_runtime_of_its_format(model: Repository, principal: Principal) -> None:
    assert declare(principal, model, "onnx", "onnx").runtime == "onnxruntime"


def test_an_artifact_needs_its_files_each_once_and_in_no_other_artifact(draft: Version, principal: Principal) -> None:
    def add(*files: str) -> None:
        description = ArtifactDescription(format="safetensors", files=files)
        services.add_artifact(principal=principal, version=draft, description=description)

    with pytest.raises(InvalidInput, match="has no file 'other'"):
        add("model.safetensors", "other")
    with pytest.raises(InvalidInput, match="named twice"):
        add("model.safetensors", "model.safetensors")
    add("model.safetensors")
    with pytest.raises(Conflict, match="another artifact"):
        add("model.safetensors")


def test_removing_a_file_removes_its_artifact_but_not_the_other_files(model: Repository, principal: Principal) -> None:
    version = make_draft(model, "a", "b", "c")
    description = ArtifactDescription(format="safetensors", files=("a", "b"))
    services.add_artifact(principal=principal, version=version, description=description)
    services.remove_file(principal=principal, version=version, path="a")
    assert version.artifacts.count() == 0
    assert set(version.files.values_list("path", "artifact")) == {("b", None), ("c", None)}
    with pytest.raises(NotFound):
        services.remove_file(principal=principal, version=version, path="a")
