"""This plugin passes the suite that every plugin passes."""

from pathlib import Path

from tests.plugins.zoo_torch.autoslim.samples import made_up_search, untrained_supernet
from tests.plugins.zoo_torch.quantization.samples import packed_model
from tests.plugins.zoo_torch.samples import fresh_model, pickle_item
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.conformance import Case, PluginConformance, tiny_dataset
from zoo_sdk.context import Inputs
from zoo_torch.networks.weights import load_weights

TRAINING = {"epochs": 1, "batch_size": 20}
PREPROCESSING = Preprocessing(channels=1, crop=(8, 8))


def model_only(folder: Path) -> Inputs:
    return Inputs(ports={"model": (fresh_model(folder / "model", preprocessing=PREPROCESSING),)})


def checkpoint_only(folder: Path) -> Inputs:
    weights = load_weights(fresh_model(folder / "base", preprocessing=PREPROCESSING))
    state = {f"module.{name}": value for name, value in weights.state.items()}
    item = pickle_item(folder / "checkpoint", {"epoch": 3, "state_dict": state})
    return Inputs(ports={"model": (item,)})


def data_only(folder: Path) -> Inputs:
    return Inputs(ports={"data": (tiny_dataset(folder),)})


def distill_inputs(folder: Path) -> Inputs:
    ports = {
        "student": (fresh_model(folder / "student", preprocessing=PREPROCESSING),),
        "teacher": tuple(fresh_model(folder / f"teacher-{n}", seed=n, preprocessing=PREPROCESSING) for n in (1, 2)),
    }
    return Inputs(ports={**ports, **data_only(folder).ports})


def evaluate_inputs(folder: Path) -> Inputs:
    return Inputs(ports={**model_only(folder).ports, **data_only(folder).ports})


def quantize_inputs(folder: Path) -> Inputs:
    teacher = fresh_model(folder / "teacher", seed=1, preprocessing=PREPROCESSING)
    return Inputs(ports={**evaluate_inputs(folder).ports, "teacher": (teacher,)})


def integer_inputs(folder: Path) -> Inputs:
    return Inputs(ports={"model": (packed_model(folder / "model", PREPROCESSING),), **data_only(folder).ports})


def search_inputs(folder: Path) -> Inputs:
    supernet = untrained_supernet(folder / "supernet", PREPROCESSING)
    return Inputs(ports={"supernet": (supernet,), **data_only(folder).ports})


def retrain_inputs(folder: Path) -> Inputs:
    search = made_up_search(folder / "search", PREPROCESSING)
    return Inputs(ports={"search": (search,), **data_only(folder).ports})


class TestConformance(PluginConformance):
    distribution = "zoo-torch"
    cases = (
        Case("torch.train", {"architecture": "zoo:conv_tiny", **TRAINING}, data_only),
        Case("torch.distill", TRAINING, distill_inputs),
        Case(
            "torch.distill", {"method": "feature", "layers": {"features.1": "features.1"}, **TRAINING}, distill_inputs
        ),
        Case("torch.export_onnx", {"parity_samples": 4}, model_only),
        Case("torch.export_torchscript", {"parity_samples": 4}, model_only),
        Case("torch.export_program", {"parity_samples": 4}, model_only),
        Case("torch.import_weights", {"architecture": "zoo:conv_tiny"}, checkpoint_only),
        Case("torch.evaluate", {}, evaluate_inputs),
        Case("torch.benchmark", {"seconds": 0.05, "warmup": 1}, model_only),
        Case("torch.prune", {"method": "taylor", "ratio": 0.5, **TRAINING}, evaluate_inputs),
        Case("torch.slim_supernet", {"architecture": "zoo:conv_tiny", **TRAINING}, data_only),
        Case("torch.slim_search", {"target_ratios": [0.6, 0.5], "batch_size": 20}, search_inputs),
        Case("torch.slim_retrain", TRAINING, retrain_inputs),
        Case("torch.quantize_aware", TRAINING, quantize_inputs),
        Case("torch.evaluate_integers", {"batch_size": 20}, integer_inputs),
        Case("torch.mixed_precision", {"weight_bits": 2, "max_drop": 50, "batch_size": 20}, evaluate_inputs),
    )
