"""Weights as files: rebuilt from their own description, and never unpickled as code."""

import argparse
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.plugins.zoo_torch.samples import build, digest, fresh_model, perform, pickle_item
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.names import OptionValue
from zoo_torch.networks.weights import METADATA_KEY, load_weights, save_weights

TINY = Architecture(name="zoo:conv_tiny", num_classes=10, in_chans=1)


class Trap:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["zoo:conv_tiny", "zoo:resnet_small", "timm:resnet10t"])
def test_a_network_is_rebuilt_from_its_file_alone(tmp_path: Path, name: str) -> None:
    network = build(name, channels=3, classes=7).eval()
    save_weights(network, Architecture(name=name, num_classes=7, in_chans=3), tmp_path / "model.safetensors")
    artifact = ArtifactDescription(format="safetensors", files=("model.safetensors",))
    loaded = load_weights(InputItem(reference="a/b@1", folder=tmp_path, artifact=artifact))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded.build().eval()(images), network(images))


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    network = build("zoo:conv_tiny")
    for name in ("a", "b"):
        save_weights(network, TINY, tmp_path / name)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_file_without_an_architecture_is_refused(tmp_path: Path) -> None:
    item = fresh_model(tmp_path / "model")
    save_file(load_file(item.main_file), item.main_file)
    with pytest.raises(InvalidInput, match="which architecture"):
        load_weights(item)


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("{", "architecture"),
        ('{"name": "zoo:conv_tiny"}', "num_classes"),
        ('{"name": "hf-hub:a/b", "num_classes": 10}', "name"),
        ('{"name": "timm:resnet10t", "num_classes": 1000000000}', "num_classes"),
        (
            '{"name": "timm:resnet10t", "num_classes": 10, "options": {"checkpoint_path": "/etc/passwd"}}',
            "checkpoint_path",
        ),
    ],
)
def test_a_file_with_a_wrong_description_is_refused(tmp_path: Path, description: str, reason: str) -> None:
    item = fresh_model(tmp_path / "model")
    save_file(load_file(item.main_file), item.main_file, metadata={METADATA_KEY: description})
    with pytest.raises(InvalidInput, match=reason):
        load_weights(item).build()


def test_weights_of_another_architecture_are_refused_with_names_and_shapes(tmp_path: Path) -> None:
    item = fresh_model(tmp_path / "model", name="zoo:conv_small")
    save_file(load_file(item.main_file), item.main_file, metadata={METADATA_KEY: TINY.model_dump_json()})
    with pytest.raises(
        InvalidInput, match=r"features\.0\.0\.weight has the shape \[16, 1, 3, 3\] instead of \[12, 1, 3, 3\]"
    ):
        load_weights(item).build()


def test_missing_and_surplus_weights_are_named(tmp_path: Path) -> None:
    item = fresh_model(tmp_path / "model")
    state = load_file(item.main_file)
    state["surplus"] = state.pop("classifier.bias")
    save_file(state, item.main_file, metadata={METADATA_KEY: TINY.model_dump_json()})
    with pytest.raises(InvalidInput, match=r"classifier\.bias is missing; surplus is not part of it"):
        load_weights(item).build()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 64])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    item = fresh_model(tmp_path / "model")
    item.main_file.write_bytes(content)
    with pytest.raises(InvalidInput, match="not a readable safetensors file"):
        load_weights(item)


@pytest.mark.parametrize("name", ["zoo:conv_tny", "timm:resnet18x"])
def test_an_unknown_architecture_suggests_the_nearest(name: str) -> None:
    with pytest.raises(UnknownName, match="Did you mean"):
        Architecture(name=name, num_classes=2).build()


def test_a_pickle_with_code_is_refused_and_never_run(tmp_path: Path) -> None:
    sign = tmp_path / "it-was-run"
    item = pickle_item(tmp_path / "model", {"state_dict": Trap(sign)})
    with pytest.raises(InvalidInput, match="was not loaded"):
        load_weights(item, architecture="zoo:conv_tiny")
    assert not sign.exists()


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    item = pickle_item(tmp_path / "model", {"weight": torch.zeros(1_000_000)})
    with zipfile.ZipFile(item.main_file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(item.main_file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(InvalidInput, match="is compressed"):
        load_weights(item, architecture="zoo:conv_tiny")


@pytest.mark.parametrize("end", [0, 1, 100, 1000, -1, -100])
@pytest.mark.parametrize("flip", [False, True])
def test_a_damaged_pickle_is_refused(tmp_path: Path, end: int, *, flip: bool) -> None:
    item = pickle_item(tmp_path / "model", build("zoo:conv_tiny").state_dict())
    content = bytearray(item.main_file.read_bytes()[: end or None])
    if flip:
        content[::7] = bytes(255 - byte for byte in content[::7])
    elif not end:
        content = bytearray(pickle.dumps({"weight": [1, 2, 3]}, protocol=2))
    item.main_file.write_bytes(content)
    with pytest.raises(InvalidInput):
        load_weights(item, architecture="zoo:conv_tiny")


def test_a_pickled_network_is_refused(tmp_path: Path) -> None:
    item = pickle_item(tmp_path / "model", build("zoo:conv_tiny"))
    with pytest.raises(InvalidInput, match="was not loaded"):
        load_weights(item, architecture="zoo:conv_tiny")


def test_a_pickle_does_not_name_its_architecture(tmp_path: Path) -> None:
    item = pickle_item(tmp_path / "model", build("zoo:conv_tiny").state_dict())
    with pytest.raises(InvalidInput, match="parameter `architecture`"):
        load_weights(item)


@pytest.mark.parametrize("wrapped", [False, True])
def test_plain_tensors_in_a_pickle_are_read(tmp_path: Path, *, wrapped: bool) -> None:
    state = {f"module.{key}": value for key, value in build("zoo:conv_tiny").state_dict().items()}
    item = pickle_item(tmp_path / "model", {"state_dict": state, "epoch": 3} if wrapped else state)
    loaded = load_weights(item, architecture="zoo:conv_tiny")
    torch.testing.assert_close(loaded.build().state_dict(), build("zoo:conv_tiny").state_dict())


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}])
def test_a_pickle_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(InvalidInput, match="holds no state dict"):
        load_weights(pickle_item(tmp_path / "model", content), architecture="zoo:conv_tiny")


def test_the_parameter_must_agree_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a zoo:conv_tiny, not a zoo:conv_small"):
        load_weights(fresh_model(tmp_path / "model"), architecture="zoo:conv_small")


def test_a_classifier_for_other_classes_is_made_anew_and_the_rest_is_kept(tmp_path: Path) -> None:
    weights = load_weights(fresh_model(tmp_path / "model", classes=4))
    state = weights.build_for_classes(10).state_dict()
    assert state["classifier.weight"].shape == (10, 24)
    torch.testing.assert_close(state["features.0.0.weight"], weights.state["features.0.0.weight"])


@pytest.mark.parametrize(
    ("name", "options"), [("timm:resnet10t", {}), ("timm:vit_tiny_patch16_224", {"img_size": 32}), ("zoo:vit_tiny", {})]
)
def test_other_people_s_safetensors_are_read_with_a_named_architecture(
    tmp_path: Path, name: str, options: dict[str, OptionValue]
) -> None:
    item = fresh_model(tmp_path / "model")
    network = Architecture(name=name, num_classes=7, in_chans=1, options=options).build()
    save_file(network.state_dict(), item.main_file, metadata={"format": "pt"})
    loaded = load_weights(item, architecture=name, options=options)
    assert (loaded.architecture.num_classes, loaded.architecture.in_chans) == (7, 1)
    torch.testing.assert_close(loaded.build().state_dict(), network.state_dict())


def test_reading_other_people_s_weights_leaves_chance_alone(tmp_path: Path) -> None:
    item = pickle_item(tmp_path / "model", build("zoo:conv_tiny").state_dict())
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    load_weights(item, architecture="zoo:conv_tiny")
    assert torch.equal(torch.rand(2), expected)


def test_the_averaged_weights_of_a_training_script_s_checkpoint_go_first(tmp_path: Path) -> None:
    plain, averaged = (build("zoo:conv_tiny", seed=seed).state_dict() for seed in (1, 2))
    wrapped = {f"_orig_mod.module.{key}": value for key, value in averaged.items()}
    arguments = argparse.Namespace(model="conv_tiny", lr=0.1)
    item = pickle_item(tmp_path / "model", {"state_dict": plain, "state_dict_ema": wrapped, "args": arguments})
    torch.testing.assert_close(load_weights(item, architecture="zoo:conv_tiny").state, averaged)


def test_old_weights_without_counters_are_read(tmp_path: Path) -> None:
    state = {key: value for key, value in build("zoo:conv_tiny").state_dict().items() if "num_batches" not in key}
    loaded = load_weights(pickle_item(tmp_path / "model", state), architecture="zoo:conv_tiny")
    assert int(loaded.build().state_dict()["features.0.1.num_batches_tracked"]) == 0


@pytest.mark.parametrize("missing", ["features.0.0.weight", "features.1.0.weight", "classifier.weight"])
def test_other_people_s_weights_must_fit_exactly(tmp_path: Path, missing: str) -> None:
    state = build("zoo:conv_tiny").state_dict()
    del state[missing]
    with pytest.raises(InvalidInput, match=f"{missing} is missing"):
        load_weights(pickle_item(tmp_path / "model", state), architecture="zoo:conv_tiny").build()


def test_a_background_class_is_dropped_or_added_where_it_is_asked_for(tmp_path: Path) -> None:
    weights = load_weights(fresh_model(tmp_path / "model", classes=11))
    loaded = weights.state["classifier.weight"]
    dropped = weights.build_for_classes(10, "shift").state_dict()
    assert torch.equal(dropped["classifier.weight"], loaded[1:])
    assert torch.equal(dropped["classifier.bias"], weights.state["classifier.bias"][1:])
    added = weights.build_for_classes(12, "shift").state_dict()
    assert torch.equal(added["classifier.weight"][1:], loaded)
    assert not torch.equal(weights.build_for_classes(10).state_dict()["classifier.weight"], loaded[1:])


def test_nothing_but_a_background_class_is_shifted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has 11 outputs; a background class is all"):
        load_weights(fresh_model(tmp_path / "model", classes=11)).build_for_classes(9, "shift")


def test_a_fresh_classifier_replaces_one_for_the_same_classes(tmp_path: Path) -> None:
    weights = load_weights(fresh_model(tmp_path / "model"))
    state = weights.build_for_classes(10, "fresh").state_dict()
    assert not torch.equal(state["classifier.weight"], weights.state["classifier.weight"])
    assert torch.equal(state["features.2.0.weight"], weights.state["features.2.0.weight"])


def test_a_pickle_is_evaluated_with_its_named_architecture(tmp_path: Path) -> None:
    from tests.plugins.zoo_torch.samples import npz_digits

    item = pickle_item(tmp_path / "model", build("zoo:conv_tiny").state_dict())
    outcome = perform(
        "torch.evaluate",
        tmp_path / "place",
        {"model": item, "data": npz_digits(tmp_path / "data")},
        architecture="zoo:conv_tiny",
        limit_samples=20,
    )
    assert 0 <= outcome.measured("top1") <= 100
