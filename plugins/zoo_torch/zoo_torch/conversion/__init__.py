"""``torch.export_onnx``."""
