"""timm's own description of its pretrained classifiers as a catalogue: ``python -m zoo_torch.timm_catalogue``.

timm's package says where weights are and how pictures are prepared for them.  Its table of results
(results-imagenet.csv) is not part of the package, so the catalogue has no figures.  No network is built.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from math import floor
from pathlib import Path
from typing import Any

import timm
import yaml
from timm.models import get_pretrained_cfg

SELECTION = (
    "resnet18.*", "resnet34.*", "resnet50.*", "resnet101.*", "resnet152.*", "resnet50d.*", "resnet101d.*",
    "legacy_senet154.*", "senet154.*", "seresnet50.*", "wide_resnet50_2.*", "resnext50_32x4d.*", "regnety_016.*",
    "mobilenetv1_100.*", "mobilenetv2_100.*", "mobilenetv3_large_100.*", "mobilenetv4_conv_small.*",
    "efficientnet_b0.*", "efficientnet_lite0.*", "tf_efficientnet_lite0.*", "tf_efficientnetv2_b0.*",
    "densenet121.*", "inception_v3.*", "repvgg_a2.*", "convnext_tiny.*", "convnext_small.*", "convnext_base.*",
    "deit_tiny_patch16_224.*", "deit_small_patch16_224.*", "deit_base_patch16_224.*", "deit3_small_patch16_224.*",
    "deit3_base_patch16_224.*", "deit3_large_patch16_224.*", "vit_tiny_patch16_224.*", "vit_small_patch16_224.*",
    "vit_base_patch16_224.*", "swin_tiny_patch4_window7_224.*", "swin_small_patch4_window7_224.*",
    "swin_base_patch4_window7_224.*",
)  # fmt: skip
"""The architectures that the methods of the zoo use as students and teachers, and small ones for devices."""
CLASSES = (1000, 1001)
"""ImageNet-1k, with or without a background class."""
LICENCES = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "cc-by-nc-4.0": "CC-BY-NC-4.0"}
INTERPOLATIONS = frozenset({"nearest", "bilinear", "bicubic", "lanczos"})
WEIGHTS = "model.safetensors"
REVISION = "The address leads to the newest revision of the repository; the first fetch pins the digest."


def catalogue(patterns: Sequence[str] = SELECTION) -> dict[str, Any]:
    """The catalogue (docs/catalogues.md) of the pretrained ImageNet-1k classifiers whose names match a pattern."""
    models: dict[str, dict[str, Any]] = {}
    for name in timm.list_models(pretrained=True):
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        config = get_pretrained_cfg(name)
        if config is None or config.num_classes not in CLASSES or not _weights(config):
            continue
        architecture, _, tag = name.partition(".")
        model = models.setdefault(architecture, _model(architecture))
        model["versions"].append(_version(name, tag, config))
    return {
        "catalogue": 1,
        "name": "timm",
        "title": f"timm {timm.__version__}",
        "summary": (
            "Pretrained ImageNet-1k classifiers of timm, as the installed package describes them. It holds no results: "
            "timm publishes its table apart from the package."
        ),
        "datasets": {
            "imagenet-1k": {"title": "ImageNet-1k", "uri": "https://www.image-net.org/challenges/LSVRC/2012/"}
        },
        "models": list(models.values()),
    }


def _model(architecture: str) -> dict[str, Any]:
    return {
        "name": f"timm-{architecture}",
        "title": f"{architecture} of timm",
        "task": "image-classification",
        "architecture": architecture,
        "tags": ["timm", "torch"],
        "versions": [],
    }


def _version(name: str, tag: str, config: Any) -> dict[str, Any]:
    preprocessing, doubts = evaluation_preprocessing(config)
    licence = LICENCES.get(config.license or "", config.license or "not said")
    artifact: dict[str, Any] = {"name": "torch", **_weights(config)}
    if preprocessing:
        artifact["preprocessing"] = preprocessing
    artifact["details"] = dict(_details(name, config))
    sentences = [f"Licence: {licence}."]
    sentences += [f"From {config.origin_url}."] if config.origin_url else []
    sentences += [f"Papers: {_joined(config.paper_ids)}."] if config.paper_ids else []
    return {
        "key": tag or "default",
        "title": name,
        "introduction": " ".join(sentences),
        "strategy": _strategy(name, tag),
        "artifacts": [artifact],
        "parents": [{"role": "trained_on", "dataset": "imagenet-1k"}],
        "uncertain": [
            *([REVISION] if artifact["format"] == "safetensors" else []),
            "The strategy is read from the name of the tag.",
            *doubts,
        ],
    }


def _weights(config: Any) -> dict[str, Any]:
    """Format and file: safetensors of the hub, else the release of timm's repository; nothing for other places."""
    if config.hf_hub_id and not config.hf_hub_filename:
        address = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{WEIGHTS}"
        return {"format": "safetensors", "files": [{"address": address, "label": "safetensors"}]}
    if (config.url or "").startswith("https://github.com/"):
        return {"format": "pickle", "files": [{"address": config.url, "label": "pth"}]}
    return {}


def _strategy(name: str, tag: str) -> list[dict[str, Any]]:
    """``X_ft_Y``: pretrained on X, tuned on Y; ``dist``: with a teacher."""
    before, fine, after = tag.partition("_ft_")
    if fine:
        return [
            {"kind": "pretraining", "method": before},
            {"kind": "finetuning", "method": after},
        ]
    kind = "distillation" if "dist" in name else "training"
    return [{"kind": kind, "method": tag or "default"}]


def evaluation_preprocessing(config: Any) -> tuple[dict[str, Any], list[str]]:
    """As ``timm.data`` evaluates: shorter side to ``size / crop_pct``, then a centre crop; else nothing, and why."""
    channels, height, width = config.input_size
    if config.crop_mode != "center" or height != width or channels != len(config.mean):
        return {}, [f"How pictures are cropped ({config.crop_mode}) cannot be described, so no preprocessing is given."]
    if config.interpolation not in INTERPOLATIONS:
        return {}, [f"Pictures are resized in the way {config.interpolation!r}, so no preprocessing is given."]
    found = {
        "resize": floor(height / config.crop_pct),
        "crop": [height, width],
        "interpolation": config.interpolation,
        "mean": list(config.mean),
        "std": list(config.std),
        "layout": "NCHW",
        "label_offset": int(config.num_classes == CLASSES[1]),
    }
    return found, []


def _details(name: str, config: Any) -> Iterator[tuple[str, Any]]:
    yield "architecture", f"timm:{name}"
    yield "num_classes", config.num_classes
    yield "timm", timm.__version__
    if config.test_input_size:
        yield "test_input_size", list(config.test_input_size)
        yield "test_crop_pct", config.test_crop_pct or config.crop_pct
    if config.hf_hub_id:
        yield "hub", config.hf_hub_id


def _joined(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


class _Plain(yaml.SafeDumper):
    """Writes every value where it stands: catalogues have no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text_of(content: dict[str, Any]) -> str:
    """The catalogue as YAML."""
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the catalogue to a file or to standard output."""
    parser = argparse.ArgumentParser(prog="python -m zoo_torch.timm_catalogue", description=__doc__)
    parser.add_argument(
        "patterns", nargs="*", default=SELECTION, help="Names such as 'resnet50*' (default: a selection)."
    )
    parser.add_argument("--output", type=Path, help="The file to write (default: standard output).")
    given = parser.parse_args(arguments)
    text = text_of(catalogue(given.patterns))
    if given.output:
        given.output.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
