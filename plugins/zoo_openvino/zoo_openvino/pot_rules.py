"""What each key of POT's configuration files means here; see :mod:`zoo_openvino.pot`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal


@dataclass(frozen=True)
class Verdict:
    """What becomes of a value; ``params``: the parameters that it stands for, nested ones with dots."""

    outcome: Literal["translated", "ignored", "refused"]
    text: str
    params: Mapping[str, Any] = field(default_factory=dict)


Rule = Callable[[Any], Verdict]
Rules = Mapping[str, "Rule | Rules"]


def ignored(reason: str) -> Verdict:
    """The value changes nothing here."""
    return Verdict("ignored", reason)


def refused(reason: str) -> Verdict:
    """The value asks for something that is not done here."""
    return Verdict("refused", reason)


def translated(**params: Any) -> Verdict:
    """The value is these parameters; ``__`` in a name stands for a dot."""
    named = {name.replace("__", "."): value for name, value in params.items()}
    return Verdict("translated", ", ".join(f"{name} = {value!r}" for name, value in named.items()), named)


def _never(reason: str) -> Rule:
    """Ignored whatever the value is."""
    return lambda _: ignored(reason)


def _not_if_true(reason: str, *, off: str = "off is how it is here") -> Rule:
    """A switch that can only be off."""
    return lambda value: refused(reason) if value else ignored(off)


def _number(path: str, *, whole: bool = True, factor: float = 1) -> Rule:
    def judge(value: Any) -> Verdict:
        allowed = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            return refused(f"is not a {'whole ' if whole else ''}number")
        # Rounded, because .007 * 100 is a little more than .7.
        return _one(path, round(value * factor, 10) if factor != 1 else value)

    return judge


def _switch(path: str) -> Rule:
    return lambda value: _one(path, value) if isinstance(value, bool) else refused("is neither true nor false")


def _choice(path: str, choices: Mapping[Any, Any], otherwise: str) -> Rule:
    def judge(value: Any) -> Verdict:
        known = value.lower() if isinstance(value, str) else value
        return _one(path, choices[known]) if isinstance(known, str) and known in choices else refused(otherwise)

    return judge


def _one(path: str, value: Any) -> Verdict:
    return Verdict("translated", f"{path} = {value!r}", {path: value})


def _model_type(value: Any) -> Verdict:
    if value is None or str(value).lower() == "none":
        return ignored("no scheme for a family is the default here")
    return _choice("model_type", {"transformer": "transformer"}, "NNCF knows the family transformer only")(value)


def _ignored_scope(value: Any) -> Verdict:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return refused("is no list of names")
    return translated(ignored_names=value)


def _ignored_operations(value: Any) -> Verdict:
    if not isinstance(value, list) or not all(isinstance(item, dict) and "type" in item for item in value):
        return refused("is no list of objects with a type")
    if any(item.get("attributes") for item in value):
        return refused("NNCF does not choose operations by attributes: name them in ignored.scope")
    return translated(ignored_types=[str(item["type"]) for item in value])


def _metrics(value: Any) -> Verdict:
    """A list of names, with baselines that are measured here."""
    names = {"accuracy": "top1", "accuracy@top1": "top1", "top1": "top1", "accuracy@top5": "top5", "top5": "top5"}
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        return refused("one metric is controlled, not several")
    name = names.get(str(value[0].get("name", value[0].get("type"))).lower())
    if name is None:
        return refused(f"the metrics are {' and '.join(sorted(set(names.values())))}")
    extra = "; baseline_value is ignored: the float model is measured" if "baseline_value" in value[0] else ""
    return Verdict("translated", f"accuracy_control.metric = {name!r}{extra}", {"accuracy_control.metric": name})


def _goes_back(value: Any) -> Verdict:
    if value:
        return Verdict("translated", "NNCF goes back where the drop grows")
    return ignored("NNCF always goes back where the drop grows")


def _level(value: Any) -> Verdict:
    if isinstance(value, int) and value in {-127, 127, -128, 0, 255}:
        return ignored("the integer levels follow from the mode")
    return refused("other integer levels than those of INT8 are not supported")


def _bits(value: Any) -> Verdict:
    return Verdict("translated", "INT8 is what is made") if value == 8 else refused("only 8 bits are supported")


STATISTICS = ("min", "max", "abs_max", "quantile", "abs_quantile")
AGGREGATORS = ("mean", "max", "min", "median", "mean_no_outliers", "median_no_outliers")


def _end(path: str, default: str) -> Rule:
    """One end of a range; a value without a type has POT's default one."""

    def judge(value: Any) -> Verdict:
        if not isinstance(value, dict):
            return refused("is no object")
        keys = {"type": "statistic", "aggregator": "aggregator", "outlier_prob": "outlier_probability",
                "clipping_value": "clipping"}  # fmt: skip
        unknown = sorted(set(value) - set(keys) - {"granularity"})
        if unknown:
            return refused(f"POT has no key {', '.join(unknown)} here")
        bound = {"statistic": default, **{keys[key]: content for key, content in value.items() if key in keys}}
        if str(bound["statistic"]) not in STATISTICS:
            return refused(f"type is one of {', '.join(STATISTICS)}")
        if str(bound.get("aggregator", "mean")) not in AGGREGATORS:
            return refused(f"NNCF's aggregators are {', '.join(AGGREGATORS)}")
        return _one(path, bound)

    return judge


def _range_preset(scheme: str) -> Rule:
    def judge(value: Any) -> Verdict:
        if value == "default":
            return ignored("the preset's estimator is the default here")
        if value != "quantile":
            return refused("POT's presets are default and quantile")
        bound = {"statistic": "quantile", "aggregator": "mean"}
        text = f"{scheme}.lower and .upper = mean of quantiles"
        return Verdict("translated", text, {f"{scheme}.lower": bound, f"{scheme}.upper": bound})

    return judge


def _scheme(name: str) -> Rules:
    modes = {mode: mode for mode in ("symmetric", "asymmetric")}
    return {
        "bits": _bits,
        "mode": _choice(f"{name}.mode", modes, "the modes are symmetric and asymmetric"),
        "granularity": _choice(
            f"{name}.per_channel", {"perchannel": True, "pertensor": False}, "it is perchannel or pertensor"
        ),
        "level_low": _level,
        "level_high": _level,
        "range_estimator": {
            "preset": _range_preset(name),
            "min": _end(f"{name}.lower", "min"),
            "max": _end(f"{name}.upper", "max"),
        },
    }


_TUNING = _never("it belongs to layer-wise tuning, which is not done here")
_MEMORY = _never("it changed the memory that POT took, not its result")

OUTSIDE: Mapping[str, str] = MappingProxyType(
    {
        "model": "the model is the job's input `model`",
        "engine": "the pictures are the job's input `data`, and are prepared as the model's version says",
    }
)
"""Parts of the file that the job's inputs stand for."""

COMPRESSION_RULES: Rules = {
    "target_device": _choice(
        "target_device",
        {"any": "any", "cpu": "cpu", "cpu_spr": "cpu_spr", "gpu": "gpu", "npu": "npu"},
        "OpenVINO has no such device any more",
    ),
    "model_type": _model_type,
    "inplace_statistics": _MEMORY,
    "inplase_statistics": _MEMORY,
    "dump_intermediate_model": _never("intermediate models are not kept"),
}

ALGORITHM_RULES: Rules = {
    "preset": _choice(
        "preset",
        {
            "performance": "performance",
            "mixed": "mixed",
            "accuracy": "mixed",
            "symmetric": "performance",
            "asymmetric": "mixed",
        },
        "the presets are performance, mixed and accuracy",
    ),
    "stat_subset_size": _number("samples"),
    "shuffle_data": _never("samples are always drawn at random"),
    "seed": _never("the job's seed draws the samples"),
    "use_fast_bias": _switch("fast_bias_correction"),
    "saturation_fix": _choice(
        "overflow_fix", {"first_layer": "first_layer", "all": "all", "no": "off"}, "it is first_layer, all or no"
    ),
    "apply_for_all_nodes": _not_if_true("NNCF corrects the biases of operations that have one"),
    "threshold": _never("NNCF bounds the correction of biases itself"),
    "ignored": {
        "skip_model": _not_if_true("a model that is skipped is not quantized"),
        "scope": _ignored_scope,
        "operations": _ignored_operations,
    },
    "weights": _scheme("weights"),
    "activations": _scheme("activations"),
    "use_layerwise_tuning": _not_if_true("NNCF has no layer-wise tuning; torch.quantize_aware trains instead"),
    "num_samples_for_tuning": _TUNING,
    "batch_size": _TUNING,
    "optimizer": _TUNING,
    "loss": _TUNING,
    "tuning_iterations": _TUNING,
    "random_seed": _TUNING,
    "use_ranking_subset": _TUNING,
    "calibration_indices_pool": _TUNING,
    "calculate_grads_on_loss_increase_only": _TUNING,
    "weight_decay": _TUNING,
}

ACCURACY_RULES: Rules = {
    "maximal_drop": _number("accuracy_control.max_drop", whole=False, factor=100),
    "drop_type": _choice(
        "accuracy_control.drop_type", {"absolute": "absolute", "relative": "relative"}, "it is absolute or relative"
    ),
    "max_iter_num": _number("accuracy_control.max_iterations"),
    "ranking_subset_size": _number("accuracy_control.ranking_samples"),
    "tune_hyperparams": _switch("accuracy_control.tune_hyperparameters"),
    "metrics": _metrics,
    "metric_subset_ratio": _never("both models are measured on all samples of accuracy control"),
    "use_prev_if_drop_increase": _goes_back,
    "base_algorithm": lambda value: (
        ignored("it is what is done here")
        if value == "DefaultQuantization"
        else refused("only DefaultQuantization has a counterpart")
    ),
    "annotation_free": _not_if_true("accuracy is measured with labels only"),
    "annotation_conf_threshold": _never("it belongs to annotation_free, which is off"),
    "convert_to_mixed_preset": _not_if_true("NNCF does not change the preset on the way: choose mixed"),
}
