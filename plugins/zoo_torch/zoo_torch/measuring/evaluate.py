"""``torch.evaluate``: what PyTorch weights or TorchScript achieve on a data set, and what they cost."""

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.formats import Runtime
from zoo_torch.devices import out_of_memory_is_said, prepare_device
from zoo_torch.measuring.params import EvaluateParams
from zoo_torch.measuring.runnable import Runnable, open_runnable
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import evaluate, report_complexity


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure accuracy in many forms, parameters, macs and size_bytes; see :class:`EvaluateParams`."""
    device = prepare_device(context)
    data, other = inputs.one("data"), inputs.optional("reference")
    runnable = open_runnable(inputs.one("model"), device, params.architecture)
    split = open_split(data, params.split)
    subject = runnable.subject(split, context, params.batch_size)
    reference = None
    if other is not None:
        reference = open_runnable(other, device, params.architecture).subject(split, context, params.batch_size)
    context.raise_if_cancelled()
    with out_of_memory_is_said(params.batch_size):
        evaluate(context, subject, data, split, limit=params.limit_samples, other=reference)
    _measure_cost(runnable, context)


def _measure_cost(runnable: Runnable, context: OperationContext) -> None:
    """TorchScript may hold its weights as constants, which cannot be counted: then nothing is said about them."""
    parameters = count_parameters(runnable.network) or None
    planar = runnable.preprocessing.layout == "NCHW"
    macs = count_macs(runnable.network, runnable.preprocessing, runnable.device) if planar else None
    report_complexity(
        context,
        runnable.item,
        parameters=parameters,
        macs=macs or None,
        runtime=Runtime.TORCH,
        details={"counted": "parameters; convolutions, matrix products and attention for one sample"},
    )
