"""``torch.evaluate``: what PyTorch weights achieve on a data set, and what they cost."""

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name, out_of_memory_is_said, prepare_device
from zoo_torch.measuring.params import EvaluateParams
from zoo_torch.measuring.scoring import score_network
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.results import measure_cost, runtime_facts
from zoo_vision.agreement import check_classes_fit, check_pictures_fit
from zoo_vision.datasets import open_split
from zoo_vision.preprocessing import native_preprocessing
from zoo_vision.scoring import report


def run(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure top1, top5, loss, parameters, macs and size_bytes; see :class:`EvaluateParams`."""
    device = prepare_device(context)
    item = inputs.one("model")
    weights = load_weights(item, architecture=params.architecture)
    split = open_split(inputs.one("data"), params.split)
    preprocessing = model_preprocessing(item) or native_preprocessing(split)
    check_classes_fit(item.reference, split, preprocessing, weights.architecture.num_classes)
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    check_pictures_fit(split, preprocessing)
    network = weights.build().to(device)
    total = min(len(split), params.limit_samples or len(split))

    def after_batch(done: int) -> None:
        context.progress(done, total, "evaluating")
        context.raise_if_cancelled()

    context.raise_if_cancelled()
    with out_of_memory_is_said(params.batch_size):
        score = score_network(
            network,
            split,
            preprocessing,
            device=device,
            batch_size=params.batch_size,
            limit=params.limit_samples,
            after_batch=after_batch,
        )
    facts = {**runtime_facts(device, context), "batch_size": params.batch_size}
    report(
        context,
        score,
        dataset="data",
        split=params.split,
        runtime=Runtime.TORCH,
        device=device_name(device),
        details=facts,
    )
    measure_cost(network, preprocessing, item.main_file.stat().st_size, context, device)
    context.log(f"top1 {score.top1:.2f} % ({score.correct} of {score.samples}) on the split {params.split!r}.")
