"""timm's metadata as a catalogue: what it says is what timm does, and the checked-in file is what it writes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import yaml
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.timm_catalogue import catalogue, text_of
from zoo_vision.preprocessing import prepare

CHECKED_IN = Path(__file__).parents[3] / "catalogs" / "timm.yaml"


def rows(*patterns: str):
    found = catalogue(patterns)
    return {row["title"]: row for model in found["models"] for row in model["versions"]}


def test_the_checked_in_catalogue_is_what_the_installed_timm_says():
    held = CHECKED_IN.read_text("utf-8")
    if f"title: timm {timm.__version__}\n" not in held:
        pytest.skip(f"catalogs/timm.yaml was written with another timm than {timm.__version__}")
    assert held == text_of(catalogue())


def test_the_server_reads_the_checked_in_catalogue():
    code = (
        "import django; django.setup();"
        "from zoo_server.catalog.catalogues.reading import known_catalogue;"
        "found = known_catalogue('timm'); print(len(found.models), sum(1 for _ in found.rows()));"
        "import sys; assert 'timm' not in sys.modules and 'torch' not in sys.modules"
    )
    environ = {"DJANGO_SETTINGS_MODULE": "zoo_server.config.settings", "PATH": ""}
    root = str(CHECKED_IN.parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=root, check=True, capture_output=True, text=True, timeout=120
    )
    models, versions = map(int, run.stdout.split())
    assert models > 30
    assert versions > 60


def test_teachers_of_the_adlik_zoo_are_in_the_selection():
    names = {row["title"] for model in yaml.safe_load(CHECKED_IN.read_text())["models"] for row in model["versions"]}
    assert {"resnet50d.ra2_in1k", "legacy_senet154.in1k", "deit_small_patch16_224.fb_in1k"} <= names


def test_where_weights_are_and_which_network_they_fit_is_told():
    row = rows("resnet50d.ra2_in1k")["resnet50d.ra2_in1k"]
    artifact = row["artifacts"][0]
    address = "https://huggingface.co/timm/resnet50d.ra2_in1k/resolve/main/model.safetensors"
    assert artifact["files"] == [{"address": address, "label": "safetensors"}]
    assert artifact["details"]["architecture"] == "timm:resnet50d.ra2_in1k"
    assert timm.is_model(artifact["details"]["architecture"].removeprefix("timm:"))
    assert "Apache-2.0" in row["introduction"]


@pytest.mark.parametrize("name", ["resnet50d.ra2_in1k", "deit_small_patch16_224.fb_in1k", "legacy_senet154.in1k"])
def test_pictures_are_prepared_as_timm_prepares_them(name: str):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 400, 3), dtype=np.uint8))
    preprocessing = Preprocessing.model_validate(rows(name)[name]["artifacts"][0]["preprocessing"])
    config = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
    expected = create_transform(**config, is_training=False)(picture).numpy()
    assert np.abs(prepare([np.asarray(picture)], preprocessing)[0] - expected).max() < 0.05


def test_two_stages_of_training_and_a_teacher_are_read_from_the_names():
    found = rows("deit3_small_patch16_224.fb_in22k_ft_in1k", "deit_base_distilled_patch16_224.*")
    assert [step["kind"] for step in found["deit3_small_patch16_224.fb_in22k_ft_in1k"]["strategy"]] == [
        "pretraining",
        "finetuning",
    ]
    assert found["deit_base_distilled_patch16_224.fb_in1k"]["strategy"][0]["kind"] == "distillation"


def test_what_is_no_imagenet_classifier_is_left_out():
    assert rows(
        "vit_base_patch16_clip_224.openai", "vit_base_patch14_dinov2.*", "resnet50.fb_swsl*", "nothing"
    ) == rows("resnet50.fb_swsl*")
