"""Operations on OpenVINO and NNCF; :mod:`zoo_openvino.specs` describes them without importing either.

Both send usage data through the package ``openvino_telemetry`` unless a file in the user's home forbids it.  A worker
sends nothing: with ``None`` in its place importing that package fails, and both fall back to stand-ins that do
nothing.  This must happen before either is imported, hence here.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__version__ = "0.1.0"
