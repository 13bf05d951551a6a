"""LitServe, with what its pages on speed say: batches, ``fast_queue``, and a time limit for what waits in the queue.

A body that is annotated as bytes arrives as it was sent. No ``from __future__ import annotations`` here: LitServe reads
the annotation itself.
"""

import os
from typing import Annotated

import litserve
import numpy as np
from fastapi import Body, Response


class Pictures(litserve.LitAPI):
    def setup(self, device: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = int(os.environ["THREADS"]), 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: Annotated[bytes, Body()]) -> np.ndarray:
        return np.frombuffer(request, np.float32).reshape(3, 64, 64)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        return self.session.run(["scores"], {"images": pictures})[0]

    def encode_response(self, output: np.ndarray) -> Response:
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    api = Pictures(max_batch_size=int(os.environ["BATCH"]), batch_timeout=float(os.environ["WAIT_MS"]) / 1000)
    objective = float(os.environ["OBJECTIVE_MS"]) / 1000
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=objective, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
