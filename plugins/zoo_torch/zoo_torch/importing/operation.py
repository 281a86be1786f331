"""``torch.import_weights``: a checkpoint as safetensors, mapped onto an architecture where one is known."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import ParityFailed
from zoo_sdk.formats import Runtime
from zoo_sdk.vocabulary import Precision
from zoo_torch.conversion.sources import outputs_of, parity_inputs, told_architecture
from zoo_torch.devices import prepare_device
from zoo_torch.importing.mapping import MappedWeights, map_weights
from zoo_torch.importing.params import ImportWeightsParams
from zoo_torch.importing.reading import read_checkpoint
from zoo_torch.importing.report import REPORT_FILE, ImportReport
from zoo_torch.networks.weights import METADATA_KEY, read_safetensors
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.results import MAX_CLASS_NAMES, WEIGHTS_FILE, signature_of
from zoo_vision.parity import ParityFigures, check_parity, report_parity, tolerance_for

STEPS = 3
PRECISIONS = {
    torch.float32: Precision.FP32,
    torch.float64: Precision.FP32,
    torch.float16: Precision.FP16,
    torch.bfloat16: Precision.BF16,
    torch.int8: Precision.INT8,
}
STORED = {"fp32": torch.float32, "fp16": torch.float16}


def run(params: ImportWeightsParams, inputs: Inputs, context: OperationContext) -> None:
    """Read, map, write and check; see :class:`zoo_torch.importing.params.ImportWeightsParams`."""
    prepare_device(context)
    context.raise_if_cancelled()
    item = inputs.one("model")
    read = read_checkpoint(item, part=params.part)
    found = read.state
    report = ImportReport(
        source=item.reference,
        format=item.artifact.format if item.artifact else "",
        layout=read.layout,
        part=read.part,
        tensors=len(found),
    )
    context.progress(1, STEPS, f"{len(found)} tensors")
    name = params.architecture or told_architecture(item)
    mapped = None if name is None else map_weights(found, name, params, item.reference)
    if mapped is not None:
        report = report.with_mapping(mapped)
        report.raise_unless_it_fits()
    state = _stored(found if mapped is None else mapped.state, params.precision)
    _write(state, report, context)
    context.raise_if_cancelled()
    context.progress(2, STEPS, "comparing with the checkpoint")
    if mapped is None:
        details = _checked_tensors(state, context)
        _declare(item, state, report, None, {"parity": details}, context)
    else:
        _finish(item, mapped, state, report, params, inputs, context)
    context.progress(STEPS, STEPS, "done")


def _stored(state: Mapping[str, Tensor], precision: str | None) -> dict[str, Tensor]:
    """The weights as they are to be stored; counters and other whole numbers stay as they are."""
    dtype = STORED[precision] if precision else None
    return {
        key: value.to(dtype) if dtype is not None and value.is_floating_point() else value
        for key, value in sorted(state.items())
    }


def _write(state: Mapping[str, Tensor], report: ImportReport, context: OperationContext) -> None:
    metadata = {METADATA_KEY: report.architecture.model_dump_json()} if report.architecture else None
    # Names that share a tensor get one each: the format has no sharing.
    save_file({key: value.clone() for key, value in state.items()}, context.output() / WEIGHTS_FILE, metadata=metadata)
    report.write(context.output() / REPORT_FILE)


def _checked_tensors(state: Mapping[str, Tensor], context: OperationContext) -> dict[str, Any]:
    """Without a network to run: every tensor of the file is the checkpoint's, bit by bit.

    Raises:
        ParityFailed: the file that was written holds something else.

    """
    written = load_file(context.output() / WEIGHTS_FILE)
    wrong = [key for key, value in state.items() if key not in written or not torch.equal(written[key], value)]
    # NaN is not equal to itself; what is not a number in the checkpoint is kept as it is.
    wrong = [key for key in wrong if not torch.equal(torch.nan_to_num(written[key]), torch.nan_to_num(state[key]))]
    if wrong:
        raise ParityFailed(f"{len(wrong)} tensors of the new file are not the checkpoint's, {wrong[0]!r} first.")
    facts = {"compared": "tensors", "tensors": len(state)}
    context.measure("max_abs_diff", 0.0, runtime=Runtime.TORCH, details=facts)
    return facts


def _finish(
    item: InputItem,
    mapped: MappedWeights,
    state: Mapping[str, Tensor],
    report: ImportReport,
    params: ImportWeightsParams,
    inputs: Inputs,
    context: OperationContext,
) -> None:
    """Compare the networks of both files on the same inputs, where their size is known, and declare what was made."""
    preprocessing, origin = _preprocessing(item, mapped)
    if preprocessing is None and inputs.optional("data") is None:
        _declare(item, state, report, None, {"parity": _checked_tensors(state, context)}, context)
        return
    chosen = parity_inputs(item, preprocessing, inputs, params.parity_samples, params.split, context.seed)
    check_channels(item.reference, mapped.architecture.in_chans, chosen.preprocessing)
    source = _network(mapped.architecture.build(), mapped.state)
    reference = outputs_of(source, chosen.inputs, context)
    made = read_safetensors(context.output() / WEIGHTS_FILE, "the new file").build().eval()
    candidate = outputs_of(made, chosen.inputs, context)
    figures = _checked(reference, candidate, _precision_of(state))
    details = {"inputs": chosen.inputs.origin, "torch": torch.__version__}
    report_parity(
        context,
        figures,
        runtime=Runtime.TORCH,
        dataset=chosen.inputs.dataset_port,
        split=chosen.inputs.split,
        details=details,
    )
    facts = {"parity": {**asdict(figures), **details}, **({"preprocessing_from": origin} if origin else {})}
    _declare(item, state, report, chosen.preprocessing, facts, context)


def _network(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    network.load_state_dict(dict(state))
    return network.eval()


def _checked(reference: NDArray[np.float32], candidate: NDArray[np.float32], precision: Precision) -> ParityFigures:
    return check_parity(reference, candidate, max_abs=tolerance_for(precision, reference))


def _preprocessing(item: InputItem, mapped: MappedWeights) -> tuple[Preprocessing | None, str]:
    """What the source says, else what timm says of the architecture, and in that case whose word it is."""
    declared = model_preprocessing(item)
    family, _, name = mapped.architecture.name.partition(":")
    if declared is not None or family != "timm":
        return declared, ""
    from timm.models import get_pretrained_cfg

    from zoo_torch.timm_catalogue import evaluation_preprocessing

    config = get_pretrained_cfg(name)
    found, _ = evaluation_preprocessing(config) if config is not None else ({}, [])
    if not found or found["crop"][0] != mapped.architecture.options.get("img_size", found["crop"][0]):
        return None, ""
    offset = int(mapped.architecture.num_classes == 1001)
    return Preprocessing.model_validate(found | {"label_offset": offset}), f"timm's description of {name}"


def _precision_of(state: Mapping[str, Tensor]) -> Precision:
    """Of the dtype that most elements have."""
    sizes: dict[torch.dtype, int] = {}
    for value in state.values():
        sizes[value.dtype] = sizes.get(value.dtype, 0) + value.numel()
    return PRECISIONS.get(max(sizes, key=lambda dtype: sizes[dtype]), Precision.MIXED)


def _declare(
    item: InputItem,
    state: Mapping[str, Tensor],
    report: ImportReport,
    preprocessing: Preprocessing | None,
    facts: dict[str, Any],
    context: OperationContext,
) -> None:
    known = item.artifact.details if item.artifact else {}
    classes = known.get("classes")
    details: dict[str, Any] = {"import": report.summary, **facts}
    if classes and len(classes) <= MAX_CLASS_NAMES:
        details["classes"] = classes
    signature = None
    if report.architecture is not None:
        details["architecture"] = report.architecture.model_dump(mode="json")
        signature = signature_of(preprocessing, report.architecture.num_classes) if preprocessing else None
    context.artifact(
        ArtifactDescription(
            format="safetensors",
            files=(WEIGHTS_FILE,),
            precision=_precision_of(state),
            runtime=Runtime.TORCH,
            signature=signature,
            preprocessing=preprocessing,
            details=details,
        )
    )
    context.artifact(ArtifactDescription(name="import", format="json", files=(REPORT_FILE,)))
    context.measure("size_bytes", (context.output() / WEIGHTS_FILE).stat().st_size, runtime=Runtime.TORCH)
    if report.architecture is not None:
        context.measure("parameters", sum(value.numel() for key, value in state.items() if _is_parameter(key)))


def _is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
