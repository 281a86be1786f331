"""From the nodes of an ONNX graph to TFLite's operators."""
