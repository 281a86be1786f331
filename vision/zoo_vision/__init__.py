"""What the framework plugins share about pictures; imports numpy, Pillow, safetensors and the SDK, never a framework.

- :mod:`zoo_vision.datasets`       splits of registered data sets: IDX, npz, image folders
- :mod:`zoo_vision.preprocessing`  from stored pixels to a model's input tensor
- :mod:`zoo_vision.agreement`      does this model fit this data set?
- :mod:`zoo_vision.scoring`        top-1, top-5 and cross-entropy with their counts
- :mod:`zoo_vision.families`       which metrics belong to which task: a registry
- :mod:`zoo_vision.classification` the metrics of image classification: also per class, confusion and predictions
- :mod:`zoo_vision.calibration`    the expected calibration error
- :mod:`zoo_vision.evaluation`     what all evaluations share: a model, a split, the metrics and their report
- :mod:`zoo_vision.parameters`     parameters that the benchmarks of all plugins share (no numpy)
- :mod:`zoo_vision.benchmark`      a benchmark as one job: points, load time, memory, baseline
- :mod:`zoo_vision.timing`         latency and throughput, and whether the machine was too noisy
- :mod:`zoo_vision.hardware`       the fingerprint within which latencies are comparable
- :mod:`zoo_vision.memory`         the peak memory of this process
- :mod:`zoo_vision.integer`        packed integer networks and their simulator
- :mod:`zoo_vision.parity`         does the converted model compute what its source computes?
- :mod:`zoo_vision.parity_inputs`  the inputs on which both are compared
- :mod:`zoo_vision.bisection`      the layer at which the two part
- :mod:`zoo_vision.onnx_graphs`    does a parsed ONNX model stay in its folder, and what is inside it?
"""

__version__ = "0.1.0"
