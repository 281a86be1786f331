"""``torch.distill``: students learn from teachers."""
