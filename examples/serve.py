"""A server that is started, asked in three ways, and ended: pictures as they are, and Triton's client.

python examples/serve.py model.onnx picture.jpg
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import tritonclient.http as triton


def main(model: str, picture: str) -> None:
    command = ["throughline", "serve", f"street={model}", "--port", "0", "--grpc-port", "0", "--ops-port", "0"]
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    try:
        said = iter(server.stderr)
        address = next(found[1] for line in said if (found := re.search(r"serving on http://(\S+)", line)))

        asked = urllib.request.Request(f"http://{address}/predict", Path(picture).read_bytes())
        with urllib.request.urlopen(asked) as answer:
            found = json.load(answer)
        print(f"{len(found['detections'])} objects on a picture of {found['width']}x{found['height']}")

        with triton.InferenceServerClient(address) as client:
            (takes,) = client.get_model_metadata("street")["inputs"]
            images = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
            tensor = triton.InferInput(takes["name"], images.shape, "FP32")
            tensor.set_data_from_numpy(images)
            outputs = client.infer("street", [tensor]).get_response()["outputs"]
        print("tensors:", {one["name"]: one["shape"] for one in outputs})

        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            counted = [line for line in answer.read().decode().splitlines() if "requests_total{" in line]
        print(*counted, sep="\n")
    finally:
        server.terminate()
        print("exit code", server.wait(30))


if __name__ == "__main__":
    main(*sys.argv[1:])
