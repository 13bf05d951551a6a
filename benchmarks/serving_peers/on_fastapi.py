"""FastAPI with ONNX Runtime and a pool of threads: what people write before they look for a server.

uvicorn with uvloop and httptools, as FastAPI's pages on deployment say; the model runs beside the event loop, one
picture a call, as many at once as there are threads. ``--limit-concurrency`` is uvicorn's own way to refuse.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
pool = ThreadPoolExecutor(int(os.environ["THREADS"]))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])


def predict(body: bytes) -> bytes:
    pictures = np.frombuffer(body, np.float32).reshape(1, 3, 64, 64)
    return session.run(["scores"], {"images": pictures})[0].tobytes()


@app.post("/predict")
async def answer(request: Request) -> Response:
    body = await request.body()
    scores = await asyncio.get_running_loop().run_in_executor(pool, predict, body)
    return Response(scores, media_type="application/octet-stream")


@app.get("/health")
async def health() -> Response:
    return Response("ok")


if __name__ == "__main__":
    at_once = int(os.environ["AT_ONCE"])
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, limit_concurrency=at_once)
