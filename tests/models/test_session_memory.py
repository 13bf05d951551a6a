"""A memory that is really full: a child process with a limit, and a network that grows with its batch."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

_CHILD = """
import json, resource, sys
import numpy as np
from throughline.contracts.errors import Unavailable
from throughline.models.session import open_model

path, backend, factory, spare_mb = sys.argv[1:]
session = open_model(path, backend=backend, class_=factory or None, threads=1, trust=True)

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

huge = np.zeros((1, 3, 2048, 2048), np.float32)
images = np.random.default_rng(3).random((64, 3, 128, 128), np.float32)
alone = np.concatenate([session.predict({"images": images[row : row + 1]})["scores"] for row in range(64)])
before = session.fitting_batch
limit = kilobytes("VmSize") * 1024 + (int(spare_mb) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
together = session.predict({"images": images})["scores"]
sizes = {size: count for size, count in session.get_performance_stats().batch_sizes.items() if size > 1}
again = session.predict({"images": images})["scores"]
report = {
    "before": before,
    "fitting": session.fitting_batch,
    "sizes": sizes,
    "apart": float(np.abs(together - alone).max()),
    "again": float(np.abs(together - again).max()),
    "rows_differ": len({row.tobytes() for row in alone}) == 64,
}
try:
    session.predict({"images": huge})
except Unavailable as error:
    report["one_row"] = error.problem
report["afterwards"] = float(np.abs(session.predict({"images": images})["scores"] - together).max())
print(json.dumps(report))
"""

_SPARE_MB = 120


class Growing(torch.nn.Module):
    """Sixteen times as many values inside as go in: 64 rows do not fit where 8 do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = torch.nn.Sequential(*(torch.nn.Conv2d(3 if i == 0 else 48, 48, 1) for i in range(3)))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.layers(images).mean((2, 3))}


def _onnx(folder: Path) -> Path:
    state = Growing().state_dict()
    names = ["images", "first", "second", "third"]
    nodes = [
        helper.make_node("Conv", [names[i], f"layers.{i}.weight", f"layers.{i}.bias"], [names[i + 1]]) for i in range(3)
    ]
    nodes.append(helper.make_node("ReduceMean", ["third", "axes"], ["scores"], keepdims=0))
    weights = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in state.items()]
    graph = helper.make_graph(
        nodes,
        "growing",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 48])],
        [*weights, numpy_helper.from_array(np.array([2, 3]), "axes")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "g.onnx")
    return folder / "g.onnx"


def _safetensors(folder: Path) -> Path:
    save_file(Growing().state_dict(), folder / "g.safetensors")
    return folder / "g.safetensors"


def _torchscript(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(
            torch.jit.trace(Growing().eval(), torch.rand(2, 3, 16, 16), strict=False), folder / "g.torchscript"
        )
    return folder / "g.torchscript"


def _exported(folder: Path) -> Path:
    free = {axis: torch.export.Dim.DYNAMIC for axis in (0, 2, 3)}
    torch.export.save(
        torch.export.export(Growing().eval(), (torch.rand(2, 3, 16, 16),), dynamic_shapes=(free,)), folder / "g.pt2"
    )
    return folder / "g.pt2"


_WRITERS = {
    "onnxruntime": (_onnx, "onnxruntime"),
    "openvino": (_onnx, "openvino"),
    "torch": (_safetensors, "torch"),
    "exported": (_exported, "torch"),
    "torchscript": (_torchscript, "torchscript"),
}


@pytest.mark.parametrize("kind", _WRITERS)
def test_a_full_memory_halves_the_batch_and_the_answers_stay(tmp_path: Path, kind: str) -> None:
    write, backend = _WRITERS[kind]
    (tmp_path / "growing_network.py").write_text(f"import torch\n\n\n{inspect.getsource(Growing)}")
    factory = "growing_network:Growing" if kind == "torch" else ""
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(write(tmp_path)), backend, factory, str(_SPARE_MB)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    assert report["rows_differ"], "the test could not see a wrong order"
    assert report["before"] is None
    assert 1 <= report["fitting"] < 64
    assert sum(int(size) * count for size, count in report["sizes"].items()) == 64
    assert max(map(int, report["sizes"])) < 64
    assert report["apart"] < 1e-5
    assert report["again"] < 1e-5, "how it is split may change with what memory there is, and with it the last digit"
    assert report["one_row"].startswith("memory is full: a batch of 1 does not fit (")
    assert report["afterwards"] < 1e-5


_HELD = """
import sys
import numpy as np
from throughline.models.session import open_model

def resident_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

images = np.ones((32, 3, 128, 128), np.float32)
session = open_model(sys.argv[1], threads=1)
session.predict({"images": images[:1]})
before = resident_mb()
session.predict({"images": images})
print(session.get_performance_stats().peak_rss_mb - before, resident_mb() - before)
"""


def test_the_memory_of_a_large_batch_is_given_back(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", _HELD, str(_onnx(tmp_path))],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path)},
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    peak_mb, held_mb = map(float, child.stdout.split())
    assert peak_mb > 100, "the test could not see what was kept"
    assert held_mb < 30
