"""``torch.mixed_precision``: quantise without training, sparing the layers that suffer most."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name, out_of_memory_is_said, prepare_device
from zoo_torch.measuring.prepared import PreparedPictures
from zoo_torch.measuring.scoring import score_network
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import Weights, load_weights, save_weights
from zoo_torch.quantization.network import quantised_layers, resolved
from zoo_torch.quantization.scheme import QuantizationScheme
from zoo_torch.quantization.sensitivity import Figures, Goal, SensitivityAnalysis
from zoo_torch.quantization.sensitivity_params import MixedPrecisionParams
from zoo_torch.quantization.sensitivity_report import REPORT_FILE, SensitivityReport, Tested, layer_reports
from zoo_torch.quantization.weight_bits import effective_bits, effective_size_bytes, precision_of
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.results import WEIGHTS_FILE, description_details, measure_cost, runtime_facts, signature_of
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.preprocessing import native_preprocessing
from zoo_vision.scoring import ClassificationScore, report


@dataclass(frozen=True)
class _Data:
    train: ImageSplit
    test: ImageSplit
    preprocessing: Preprocessing


def run(params: MixedPrecisionParams, inputs: Inputs, context: OperationContext) -> None:
    """Rank the layers, restore what must be, test, write network and report; see :class:`MixedPrecisionParams`."""
    device = prepare_device(context)
    weights, data = _open(params, inputs)
    network = weights.build().to(device).requires_grad_(requires_grad=False).eval()
    analysis = _analysis(network, params, data, context)
    context.log(f"{weights.architecture.name}: {len(analysis.bits)} layers, measured on {analysis.samples} pictures.")
    with out_of_memory_is_said(params.batch_size):
        result = analysis.run()
        if not quantised_layers(result):
            raise OperationError(
                f"Every layer had to be restored to float for the {params.metric} to be within {params.max_drop:g} of "
                f"the float network's.",
                hint="Raise max_drop or the bits, or train the network with torch.quantize_aware.",
                facts={"field": "max_drop"},
            )
        tested = _test(network, result, params, data, context)
    _log_restored(analysis, context)
    _write_report(analysis, result, tested, params, context)
    _hand_over(result, weights.architecture.model_copy(update={"quantization": analysis.scheme()}), data, context)
    context.progress(1, 1, f"{effective_bits(result):.2f} bits per weight")


def _open(params: MixedPrecisionParams, inputs: Inputs) -> tuple[Weights, _Data]:
    item = inputs.one("model")
    weights = load_weights(item)
    if weights.architecture.quantization is not None:
        raise InvalidInput(
            f"{item.reference} is quantised already.",
            hint="Give the float network that it was made from.",
            facts={"field": "model"},
        )
    train, test = (open_split(inputs.one("data"), name) for name in (params.train_split, params.test_split))
    preprocessing = model_preprocessing(item) or native_preprocessing(train)
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    for split in (train, test):
        check_classes_fit(item.reference, split, preprocessing, weights.architecture.num_classes)
        check_pictures_fit(split, preprocessing)
    return weights, _Data(train, test, preprocessing)


def _analysis(
    network: nn.Module, params: MixedPrecisionParams, data: _Data, context: OperationContext
) -> SensitivityAnalysis:
    """Steps are calibrated on other pictures than those that the networks are measured on."""
    order = np.random.default_rng(context.seed).permutation(len(data.train))
    calibrating = min(params.calibration_samples, len(order) // 2)
    if calibrating == 0:
        raise InvalidInput(f"The split {data.train.name!r} is too small to calibrate and to measure on.")
    parts = np.sort(order[:calibrating]), np.sort(order[calibrating:][: params.limit_samples])
    calibration, measured_on = (
        PreparedPictures(data.train, part, data.preprocessing, torch.device(context.devices[0]), params.batch_size)
        for part in parts
    )
    scheme = QuantizationScheme(
        weight_bits=params.weight_bits,
        activation_bits=params.activation_bits,
        per_channel=params.per_channel,
        first_last_bits=params.first_last_bits,
    )
    return SensitivityAnalysis(
        network,
        resolved(network, scheme),
        Goal(params.metric, params.max_drop, params.restore_to),
        calibration=calibration,
        measured_on=measured_on,
        context=context,
    )


def _test(
    whole: nn.Module, result: nn.Module, params: MixedPrecisionParams, data: _Data, context: OperationContext
) -> Tested:
    """Both networks on the test split; what falls short there is said, for a gate to decide."""
    device = torch.device(context.devices[0])

    def score(network: nn.Module) -> ClassificationScore:
        return score_network(
            network,
            data.test,
            data.preprocessing,
            device=device,
            batch_size=params.batch_size,
            limit=params.limit_test_samples,
            after_batch=lambda _: context.raise_if_cancelled(),
        )

    before, after = score(whole), score(result)
    facts = {**runtime_facts(device, context), "float_top1": before.top1, "float_loss": before.loss}
    report(
        context,
        after,
        dataset="data",
        split=params.test_split,
        runtime=Runtime.TORCH,
        device=device_name(device),
        details=facts,
    )
    figures = [Figures(top1=one.top1, loss=one.loss) for one in (before, after)]
    drop = figures[1].drop_from(figures[0], params.metric)
    within = drop <= params.max_drop
    context.log(
        f"On the test split the {params.metric} is worse by {drop:.3g}, "
        f"{'within' if within else 'MORE than'} max_drop {params.max_drop:g}."
    )
    return Tested(samples=after.samples, whole=figures[0], result=figures[1], drop=drop, within_max_drop=within)


def _log_restored(analysis: SensitivityAnalysis, context: OperationContext) -> None:
    overrides = analysis.scheme().overrides
    spared = ", ".join(f"{name} ({'float' if to == 'float' else to.weight_bits})" for name, to in overrides.items())
    context.log(f"{len(overrides)} of {len(analysis.bits)} layers were restored: {spared or 'none'}.")


def _write_report(
    analysis: SensitivityAnalysis,
    result: nn.Module,
    tested: Tested,
    params: MixedPrecisionParams,
    context: OperationContext,
) -> None:
    if analysis.state.quantised is None:
        raise RuntimeError("the quantised network was not measured")
    SensitivityReport(
        metric=params.metric,
        max_drop=params.max_drop,
        samples=analysis.samples,
        calibration_samples=analysis.calibration_samples,
        whole=analysis.whole,
        quantised=analysis.state.quantised,
        result=analysis.now,
        layers=layer_reports(analysis, result),
        restored=tuple(analysis.state.restored),
        scheme=analysis.scheme(),
        test=tested,
    ).write(context.output() / REPORT_FILE)


def _hand_over(network: nn.Module, architecture: Architecture, data: _Data, context: OperationContext) -> None:
    path = context.output() / WEIGHTS_FILE
    save_weights(network, architecture, path)
    context.artifact(
        ArtifactDescription(
            format="safetensors",
            files=(WEIGHTS_FILE,),
            precision=precision_of(network),
            runtime=Runtime.TORCH,
            signature=signature_of(data.preprocessing, architecture.num_classes),
            preprocessing=data.preprocessing,
            details=description_details(architecture, data.test.classes),
        )
    )
    context.artifact(ArtifactDescription(name="sensitivity", format="json", files=(REPORT_FILE,)))
    device = torch.device(context.devices[0])
    measure_cost(network, data.preprocessing, path.stat().st_size, context, device)
    context.measure("effective_bits", effective_bits(network))
    context.measure("effective_size_bytes", effective_size_bytes(network))
