"""``torch.import_weights``: other people's checkpoints as safetensors, without unpickling anything."""
