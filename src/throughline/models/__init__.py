"""Model files: what they are, whether they are safe to open, and how to run them."""

import os
import sys

# Two runtimes report their use to their makers over the network. OpenVINO (and NNCF) as soon as they are imported,
# unless this package is not there: it counts as missing from here on. ONNX Runtime since 1.29 on Linux too, names and
# hashes of models among it, unless this variable is set. Who imported or set them before has decided otherwise.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
