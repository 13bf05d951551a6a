"""BentoML, with its adaptive batching, its latency target and its limit on what is taken at once.

Its batching takes no raw body, so a picture comes as base64 in JSON, which is far cheaper than JSON numbers.
"""

import base64
import os

import bentoml
import numpy as np

OBJECTIVE_MS = int(os.environ["OBJECTIVE_MS"])


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    traffic={"timeout": 30, "max_concurrency": int(os.environ["AT_ONCE"])},
)
class Pictures:
    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = int(os.environ["THREADS"]), 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api(batchable=True, max_batch_size=int(os.environ["BATCH"]), max_latency_ms=OBJECTIVE_MS)
    def predict(self, pictures: list[str]) -> np.ndarray:
        decoded = [np.frombuffer(base64.b64decode(one), np.float32).reshape(3, 64, 64) for one in pictures]
        return self.session.run(["scores"], {"images": np.stack(decoded)})[0]
