"""``torch.prune``: remove channels that matter least."""
