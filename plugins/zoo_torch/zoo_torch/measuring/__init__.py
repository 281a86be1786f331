"""``torch.evaluate`` and ``torch.benchmark``."""
