"""``torch.export_onnx``: networks as ONNX files."""
