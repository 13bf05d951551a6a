"""A server that is started, asked for a picture and by Triton's client, and ended.

Try it: python examples/serve.py model.onnx picture.jpg
"""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import tritonclient.http as triton


def main(model: str, picture: str) -> None:
    program = [str(Path(sys.executable).with_name("throughline")), "serve", f"street={model}"]
    ports = ["--port=0", "--grpc-port=0", "--ops-port=0"]
    server = subprocess.Popen(program + ports, stderr=subprocess.PIPE, text=True)
    try:
        said = iter(server.stderr or ())
        address = next(found[1] for line in said if (found := re.search(r"serving on http://(\S+)", line)))
        with urllib.request.urlopen(f"http://{address}/predict", Path(picture).read_bytes()) as answer:
            found = json.load(answer)
        print(f"{len(found['detections'])} objects on a picture of {found['width']}x{found['height']}")
        with triton.InferenceServerClient(address) as client:
            images = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
            tensor = triton.InferInput("images", images.shape, "FP32")
            tensor.set_data_from_numpy(images)
            print("scores and boxes:", client.infer("street", [tensor]).as_numpy("output0").shape)
    finally:
        server.terminate()
        print("exit code", server.wait(30))


if __name__ == "__main__":
    main(*sys.argv[1:])
