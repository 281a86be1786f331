"""POT's configuration files: every key is translated, ignored with a reason, or refused."""

import json
from typing import Any

import pytest

from zoo_openvino.pot import Translation, merged, translate
from zoo_openvino.quantize_params import MAX_POT_CHARACTERS, QuantizeParams
from zoo_sdk.errors import InvalidInput

FULL = """{
    /* Model parameters */
    "model": {"model_name": "resnet", "model": "m.xml", "weights": "m.bin"}, // paths
    "engine": {
        "stat_requests_number": 8,
        "config": "http://somewhere//not-a-comment",
        "datasets": [{"name": "d", "preprocessing": [{"type": "resize", "size": 224}]}],
    },
    "compression": {
        "target_device": "CPU",
        "model_type": "None",
        "inplace_statistics": true,
        "dump_intermediate_model": false,
        "algorithms": [
            {
                "name": "AccuracyAwareQuantization",
                "params": {
                    "ranking_subset_size": 200,
                    "max_iter_num": 20,
                    "maximal_drop": 0.007,
                    "drop_type": "relative",
                    "use_prev_if_drop_increase": false,
                    "base_algorithm": "DefaultQuantization",
                    "annotation_free": false,
                    "annotation_conf_threshold": 0.6,
                    "convert_to_mixed_preset": false,
                    "metrics": [{"name": "accuracy@top5", "baseline_value": 0.72}],
                    "metric_subset_ratio": 0.5,
                    "tune_hyperparams": false,
                    "ignored": {"scope": ["conv1"], "operations": [{"type": "Add"}], "skip_model": false},
                    "preset": "accuracy",
                    "stat_subset_size": 100,
                    "shuffle_data": false,
                    "seed": 0,
                    "use_fast_bias": true,
                    "saturation_fix": "all",
                    "use_layerwise_tuning": false,
                    "batch_size": 10,
                    "weights": {
                        "bits": 8, "mode": "symmetric", "granularity": "perchannel",
                        "level_low": -127, "level_high": 127,
                        "range_estimator": {"max": {"type": "quantile", "outlier_prob": 0.0001}}
                    },
                    "activations": {
                        "bits": 8, "mode": "asymmetric", "granularity": "pertensor",
                        "range_estimator": {
                            "preset": "quantile",
                            "min": {
                                "clipping_value": 0, "aggregator": "mean", "type": "quantile", "outlier_prob": 0.001
                            },
                        }
                    },
                }
            }
        ]
    }
}"""


def config(name: str = "DefaultQuantization", compression: dict[str, Any] | None = None, **params: Any) -> str:
    algorithm = {"name": name, "params": params}
    return json.dumps({"compression": {"algorithms": [algorithm], **(compression or {})}})


def outcomes(found: Translation) -> dict[str, str]:
    return {line.key.removeprefix("compression.algorithms[0].params."): line.outcome for line in found.lines}


def test_a_whole_file_with_comments_becomes_parameters() -> None:
    params = merged(QuantizeParams(pot_config=FULL), translate(FULL))
    assert (params.preset, params.samples, params.fast_bias_correction) == ("mixed", 100, True)
    assert (params.target_device, params.overflow_fix, params.model_type) == ("cpu", "all", None)
    assert (params.ignored_names, params.ignored_types) == (("conv1",), ("Add",))
    control = params.accuracy_control
    assert control
    assert (control.max_drop, control.drop_type, control.metric) == (0.7, "relative", "top5")
    assert (control.max_iterations, control.ranking_samples, control.tune_hyperparameters) == (20, 200, False)
    assert params.weights
    assert (params.weights.mode, params.weights.per_channel) == ("symmetric", True)
    assert params.weights.upper
    assert (params.weights.upper.statistic, params.weights.upper.outlier_probability) == ("quantile", 1e-4)
    assert params.weights.lower is None
    assert params.activations
    assert params.activations.lower
    assert (params.activations.lower.clipping, params.activations.lower.outlier_probability) == (0, 0.001)
    assert params.activations.upper
    assert params.activations.upper.aggregator == "mean"


def test_every_key_of_the_file_has_a_line_in_the_report() -> None:
    found = translate(FULL)
    said = outcomes(found)
    assert said["maximal_drop"] == said["weights.range_estimator.max"] == said["use_fast_bias"] == "translated"
    assert said["model.weights"] == said["engine.datasets[0].preprocessing[0].size"] == "ignored"
    assert said["seed"] == said["metric_subset_ratio"] == said["batch_size"] == said["weights.level_low"] == "ignored"
    assert set(said.values()) == {"translated", "ignored"}
    text = {line.key: str(line) for line in found.lines}
    assert text["model.model"] == 'model.model = "m.xml": ignored: the model is the job\'s input `model`'
    assert "baseline_value is ignored" in text["compression.algorithms[0].params.metrics"]
    assert all(line["text"] for line in found.report)
    json.dumps(found.report)


def test_what_the_file_leaves_out_but_meant_something_else_to_pot_is_told() -> None:
    found = translate(config(preset="performance"))
    said = outcomes(found)
    assert said["use_fast_bias"] == said["stat_subset_size"] == "default"
    assert "accuracy_control" not in found.params


def test_keys_of_accuracy_control_count_in_its_own_algorithm_only() -> None:
    found = translate(config(maximal_drop=0.01, preset="mixed"))
    assert outcomes(found)["maximal_drop"] == "ignored"
    assert found.params == {"preset": "mixed"}
    aware = merged(QuantizeParams(), translate(config("AccuracyAwareQuantization")))
    assert aware.accuracy_control
    assert aware.accuracy_control.max_drop == 1.0


def test_parameters_given_beside_the_file_win_and_the_report_says_so() -> None:
    found = translate(config(preset="mixed", stat_subset_size=77))
    params = merged(QuantizeParams(preset="performance", pot_config="..."), found)
    assert (params.preset, params.samples) == ("performance", 77)
    assert outcomes(found)["preset"] == "ignored"


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"weights": {"bits": 4}}, "weights.bits = 4: refused: only 8 bits"),
        ({"use_layerwise_tuning": True}, "refused: NNCF has no layer-wise tuning"),
        ({"ignored": {"operations": [{"type": "Add", "attributes": {"a": 1}}]}}, "does not choose operations by attri"),
        ({"ignored": {"skip_model": True}}, "is not quantized"),
        ({"activations": {"range_estimator": {"max": {"aggregator": "hl_estimator"}}}}, "NNCF's aggregators are mean"),
        ({"activations": {"range_estimator": {"max": {"type": ["max"]}}}}, "type is one of"),
        ({"preset": "fastest"}, "the presets are performance, mixed and accuracy"),
        ({"preset": ["mixed"]}, "the presets are performance, mixed and accuracy"),
        ({"stat_subset_size": "many"}, "is not a whole number"),
        ({"saturation_fix": True}, "it is first_layer, all or no"),
        ({"no_such_key": 1}, "no_such_key = 1: refused: POT has no such key"),
        ({"weights": {"no_such_key": 1}}, "weights.no_such_key = 1: refused: POT has no such key"),
        ({"weights": {"level_low": [1]}}, "other integer levels"),
        ({"weights": 8}, "is no object"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_key_and_reason(params: dict, told: str) -> None:
    with pytest.raises(InvalidInput, match="asks for what cannot be done") as caught:
        translate(config(preset="mixed", **{key: value for key, value in params.items() if key != "preset"})
                  if "preset" not in params else config(**params))  # fmt: skip
    assert told in str(caught.value)
    refused = [line for line in caught.value.facts["report"] if line["outcome"] == "refused"]
    assert len(refused) == 1


@pytest.mark.parametrize(
    "metrics", [[{"name": "mAP"}], [{"name": "accuracy"}, {"name": "accuracy@top5"}], "accuracy", []]
)
def test_other_metrics_than_one_of_ours_are_refused(metrics: Any) -> None:
    with pytest.raises(InvalidInput, match=r"one metric is controlled|the metrics are top1 and top5"):
        translate(config("AccuracyAwareQuantization", metrics=metrics))


def test_other_algorithms_devices_and_parts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="only DefaultQuantization and AccuracyAwareQuantization"):
        translate(config("WeightSparsity"))
    with pytest.raises(InvalidInput, match='target_device = "GNA": refused: OpenVINO has no such device'):
        translate(config(compression={"target_device": "GNA"}))
    with pytest.raises(InvalidInput, match=r"optimizer\.name .* there is no such part"):
        translate(json.dumps({"optimizer": {"name": "Tpe"}, "compression": json.loads(config())["compression"]}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("compression:\n  algorithms: []\n", "a .yaml one has to be rewritten as JSON"),
        ("[" * 30_000, "is not JSON"),
        ("[]", "has no part 'compression'"),
        ('{"compression": 3}', "has no part 'compression'"),
        ('{"compression": {}}', "not a list of exactly one algorithm"),
        ('{"compression": {"algorithms": [{}, {}]}}', "not a list of exactly one algorithm"),
        ('{"compression": {"algorithms": ["x"]}}', "not a list of exactly one algorithm"),
        ('{"compression": {"algorithms": [{"name": "DefaultQuantization", "params": 3}]}}', "params is no object"),
        ('{"compression": {"algorithms": [{"name": ["x"], "params": {}}]}}', "have a counterpart"),
        (" " * (MAX_POT_CHARACTERS + 1), "characters"),
    ],
)
def test_text_that_is_no_such_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        translate(text)
    assert told in str(caught.value)


def test_a_wrong_number_is_refused_by_our_own_bounds() -> None:
    with pytest.raises(InvalidInput, match="holds a wrong value"):
        merged(QuantizeParams(), translate(config(stat_subset_size=0)))
