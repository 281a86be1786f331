"""``torch.quantize_aware``: networks that learn with the rounding of their integers, and what they are exported to."""
