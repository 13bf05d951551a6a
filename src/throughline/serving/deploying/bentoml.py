"""A BentoML service around our predictor: ``service.py`` and ``bentofile.yaml``.

BentoML gathers the rows of several requests into a batch, and hands them to the same predictor that every other verb
uses. The service is the same text for every model but for numbers and the name, which are checked.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

from throughline.contracts.errors import InputError
from throughline.models.session import open_model
from throughline.plugins import Plugin
from throughline.serving.deploying import Made, Order
from throughline.serving.deploying._model import carried
from throughline.serving.deploying._requirements import pack_wheel, pins
from throughline.serving.deploying._rows import refuse_without_rows

_SERVICE: Final = '''\
"""The model behind BentoML: rows in, answers out; a row that is wrong is answered with its error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from throughline.serving.deploying._rows import Rows

MODEL = Path(__file__).parent / "model" / "{file}"


@bentoml.service(name="{name}", image=bentoml.images.Image(python_version="{python}").build_include("wheels"))
class Model:
    def __init__(self) -> None:
        self.rows = Rows(MODEL, threads={threads})

    @bentoml.api({batching})
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.rows.answer(rows)
'''


def make(order: Order, folder: Path) -> Made:
    """Write the service and what BentoML builds it from."""
    import yaml

    if order.max_latency_ms is not None:
        raise InputError(
            f"--max-latency-ms {order.max_latency_ms:g}: BentoML decides itself how long a batch waits", "leave it away"
        )
    with open_model(order.model.path, device="cpu") as session:
        refuse_without_rows(order.model.path, session.inputs, session.outputs)
    model = carried(order.model, folder / "model", order.name)
    (folder / "wheels").mkdir()  # the one place from which BentoML takes packages that no index has
    wheel = pack_wheel(folder / "wheels")
    size = order.max_batch_size
    service = _SERVICE.format(
        file=model.name,
        name=order.name,
        python=".".join(platform.python_version_tuple()[:2]),
        threads=order.threads,
        batching=f"batchable=True, max_batch_size={size}" if size > 1 else "",
    )
    bento = {
        "service": "service:Model",
        "include": ["service.py", "model/*", "wheels/*"],
        "python": {"requirements_txt": "requirements.txt", "lock_packages": False},
        "envs": [{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
    }
    (folder / "service.py").write_text(service, "utf-8")
    (folder / "requirements.txt").write_text(
        "".join(f"{line}\n" for line in (f"./wheels/{wheel.name}", *pins())), "utf-8"
    )
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bento, sort_keys=False), "utf-8")
    quiet = "--do-not-track"  # otherwise BentoML reports to its makers how it is used
    return Made(
        (
            ("cd", str(order.out)),  # BentoML builds nothing that lies outside the folder it is called in
            ("bentoml", "serve", quiet, "."),
            ("bentoml", "build", quiet, "."),
            ("bentoml", "containerize", quiet, f"{order.name}:latest"),
        ),
        notes=("BentoML itself is not among the requirements: it puts the version that builds into what it builds",),
    )


PLUGIN = Plugin(
    make=make,
    summary="a BentoML service around our predictor",
    needs=("yaml", "packaging"),
    facts={"formats": ("onnx", "openvino")},
)
