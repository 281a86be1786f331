"""The loss against the labels, which may be mixed."""

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from zoo_torch.training.batches import Batch


def label_loss(logits: Tensor, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of ``logits`` (batch, outputs) against the batch's labels, in nats; a scalar.

    For a mixed batch it is the cross-entropy against :meth:`Batch.soft_labels`: share * CE(label) + (1 - share) *
    CE(the partner's label), because cross-entropy is linear in its target.
    """
    labels = batch.labels.to(logits.device)
    own = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if batch.mixing is None:
        return own
    partners = labels[batch.mixing.permutation.to(logits.device)]
    other = F.cross_entropy(logits, partners, label_smoothing=label_smoothing)
    return batch.mixing.share * own + (1 - batch.mixing.share) * other
