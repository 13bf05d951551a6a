"""Model files: what they are, whether they are safe to open, and how to run them."""

import sys

# OpenVINO and NNCF report their use to their makers over the network as soon as they are imported, unless this
# package is not there. It counts as missing from here on; who imported it before has decided otherwise.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
