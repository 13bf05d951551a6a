"""MLServer, with its adaptive batching and its default of one worker process.

It knows no binary tensors over HTTP, so a picture comes as base64 in a BYTES tensor, its own codec for bytes.
"""

import asyncio
import os

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Pictures(MLModel):
    async def load(self) -> bool:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = int(os.environ["THREADS"]), 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        bodies = Base64Codec.decode_input(payload.inputs[0])
        pictures = np.stack([np.frombuffer(body, np.float32).reshape(3, 64, 64) for body in bodies])
        scores = self.session.run(["scores"], {"images": pictures})[0]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])


async def main() -> None:
    port = int(os.environ["PORT"])
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port,
        grpc_port=int(os.environ["SPARE_PORT"]),
        metrics_endpoint=None,
        parallel_workers=1,
        load_models_at_startup=False,
        environments_dir=os.environ["FOLDER"],
    )
    model = ModelSettings(
        name="pictures",
        implementation=Pictures,
        max_batch_size=int(os.environ["BATCH"]),
        max_batch_time=float(os.environ["WAIT_MS"]) / 1000,
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
