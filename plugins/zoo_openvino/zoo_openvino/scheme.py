"""The parameters of ``openvino.quantize`` as NNCF takes them."""

from typing import Any

import nncf
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    OverflowFix,
    QuantizationMode,
    QuantizationParameters,
)
from nncf.quantization.range_estimator import (
    AggregatorType,
    RangeEstimatorParameters,
    StatisticsCollectorParameters,
    StatisticsType,
)

from zoo_openvino.quantize_params import QuantizeParams, RangeBound, TensorScheme

PRESETS = {"performance": nncf.QuantizationPreset.PERFORMANCE, "mixed": nncf.QuantizationPreset.MIXED}
OVERFLOW_FIXES = {"first_layer": OverflowFix.FIRST_LAYER, "all": OverflowFix.ENABLE, "off": OverflowFix.DISABLE}
MODES = {"symmetric": QuantizationMode.SYMMETRIC, "asymmetric": QuantizationMode.ASYMMETRIC}


def nncf_options(params: QuantizeParams, samples: int) -> dict[str, Any]:
    """What ``quantize`` and ``quantize_with_accuracy_control`` of NNCF have in common, without ``advanced``."""
    return {
        "preset": PRESETS[params.preset],
        "target_device": nncf.TargetDevice(params.target_device.upper()),
        "subset_size": samples,
        "fast_bias_correction": params.fast_bias_correction,
        "model_type": nncf.ModelType.TRANSFORMER if params.model_type == "transformer" else None,
        "ignored_scope": nncf.IgnoredScope(names=list(params.ignored_names), types=list(params.ignored_types)),
    }


def advanced_parameters(params: QuantizeParams) -> AdvancedQuantizationParameters:
    """Overflow fix and the schemes of weights and activations."""
    advanced = AdvancedQuantizationParameters()
    if params.overflow_fix is not None:
        advanced.overflow_fix = OVERFLOW_FIXES[params.overflow_fix]
    if params.weights is not None:
        advanced.weights_quantization_params = _integers(params.weights)
        advanced.weights_range_estimator_params = _range(params.weights)
    if params.activations is not None:
        advanced.activations_quantization_params = _integers(params.activations)
        advanced.activations_range_estimator_params = _range(params.activations)
    return advanced


def _integers(scheme: TensorScheme) -> QuantizationParameters | None:
    if scheme.mode is None and scheme.per_channel is None:
        return None
    mode = MODES[scheme.mode] if scheme.mode else None
    return QuantizationParameters(mode=mode, per_channel=scheme.per_channel)


def _range(scheme: TensorScheme) -> RangeEstimatorParameters:
    return RangeEstimatorParameters(min=_bound(scheme.lower), max=_bound(scheme.upper))


def _bound(bound: RangeBound | None) -> StatisticsCollectorParameters:
    if bound is None:
        return StatisticsCollectorParameters()
    return StatisticsCollectorParameters(
        statistics_type=StatisticsType(bound.statistic),
        aggregator_type=AggregatorType(bound.aggregator) if bound.aggregator else None,
        clipping_value=bound.clipping,
        quantile_outlier_prob=bound.outlier_probability,
    )
