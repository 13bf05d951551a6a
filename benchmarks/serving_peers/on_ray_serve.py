"""Ray Serve: one replica, ``serve.batch``, a bounded queue, and its own switch for throughput.

The model runs beside the replica's event loop, so that the next batch is read while this one is computed.
"""

import asyncio
import os

os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

BATCH, AT_ONCE = int(os.environ["BATCH"]), int(os.environ["AT_ONCE"])


@serve.deployment(num_replicas=1, max_ongoing_requests=AT_ONCE // 2, max_queued_requests=AT_ONCE // 2)
class Pictures:
    def __init__(self, model: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, bodies: list[bytes]) -> list[bytes]:
        pictures = np.stack([np.frombuffer(body, np.float32).reshape(3, 64, 64) for body in bodies])
        return [scores.tobytes() for scores in self.session.run(["scores"], {"images": pictures})[0]]

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=float(os.environ["WAIT_MS"]) / 1000)
    async def predict(self, bodies: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(self.run, bodies)

    async def __call__(self, request: Request) -> Response:
        return Response(await self.predict(await request.body()), media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=os.environ["FOLDER"])
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Pictures.bind(os.environ["MODEL"], int(os.environ["THREADS"])), route_prefix="/predict", blocking=True)
