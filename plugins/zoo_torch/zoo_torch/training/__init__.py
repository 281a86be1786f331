"""``torch.train`` and the loop that every method trains with."""
