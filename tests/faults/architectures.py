"""Six small networks of as many architectures, with seeded weights, as ONNX files with passports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from throughline.contracts.artifacts import Artifact
from throughline.models import passport as passports
from throughline.models.artifact import Given, read_artifact

LABELS = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine")


@dataclass
class Net:
    """Writes a graph node by node; every node's result is named after the node."""

    seed: int
    opset: int = 17
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def constant(self, values: Any, name: str) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, name: str, *shape: int, gain: float = 1.4) -> str:
        fan = int(np.prod(shape[1:])) or 1
        values = self.random.normal(0, gain / np.sqrt(fan), shape)
        return self.constant(values.astype(np.float32), name)

    def add(self, op: str, name: str, *takes: str, **options: Any) -> str:
        self.nodes.append(helper.make_node(op, list(takes), [f"{name}.out"], name=name, **options))
        return f"{name}.out"

    def conv(
        self, name: str, x: str, inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1
    ) -> str:
        kernel = self.weight(f"{name}.weight", outside, inside // groups, size, size)
        bias = self.constant(self.random.normal(0, 0.1, outside).astype(np.float32), f"{name}.bias")
        pad = [size // 2] * 4
        return self.add(
            "Conv", name, x, kernel, bias, strides=[stride] * 2, pads=pad, group=groups, kernel_shape=[size] * 2
        )

    def relu(self, name: str, x: str) -> str:
        return self.add("Relu", name, x)

    def linear(self, name: str, x: str, inside: int, outside: int) -> str:
        values = self.random.normal(0, 1.2 / np.sqrt(inside), (inside, outside)).astype(np.float32)
        product = self.add("MatMul", name, x, self.constant(values, f"{name}.weight"))
        bias = self.constant(self.random.normal(0, 0.1, outside).astype(np.float32), f"{name}.bias")
        return self.add("Add", f"{name}.add", product, bias)

    def save(self, path: Path, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> Path:
        for node in self.nodes:
            node.output[:] = [
                name.removesuffix(".out") if name.removesuffix(".out") in outputs else name for name in node.output
            ]
            node.input[:] = [
                name.removesuffix(".out") if name.removesuffix(".out") in outputs else name for name in node.input
            ]
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        return path


def with_passport(path: Path, **facts: Any) -> Artifact:
    """The file with a passport beside it that says these things of it."""
    artifact = read_artifact(path, Given(**facts))
    return Artifact(path, passports.issue(path, artifact.passport, vouch=True), True)


def classifier(folder: Path) -> Artifact:
    """Convolutions with residual connections and a linear head; batch and sides open."""
    net = Net(1)
    x = net.relu("stem.relu", net.conv("stem", "images", 3, 16, stride=2))
    for number in range(3):
        y = net.relu(f"block{number}.relu1", net.conv(f"block{number}.conv1", x, 16, 16))
        y = net.conv(f"block{number}.conv2", y, 16, 16)
        x = net.relu(f"block{number}.relu2", net.add("Add", f"block{number}.sum", x, y))
    x = net.relu("top.relu", net.conv("top", x, 16, 32, stride=2))
    x = net.add("GlobalAveragePool", "pool", x)
    x = net.add("Flatten", "flat", x)
    head = net.weight("head.weight", len(LABELS), 32, gain=6)
    net.add("Gemm", "logits", x, head, transB=1)
    path = net.save(folder / "classifier.onnx", {"images": ["batch", 3, 64, 64]}, {"logits": ["batch", len(LABELS)]})
    return with_passport(path, task="classify", labels=LABELS, decoder="classify", imgsz=(64, 64))


def depthwise(folder: Path) -> Artifact:
    """Inverted residuals: narrow, wide and depthwise, narrow again."""
    net = Net(2)
    x = net.add(
        "Clip",
        "stem.clip",
        net.conv("stem", "images", 3, 16, stride=2),
        net.constant(np.float32(0), "zero"),
        net.constant(np.float32(6), "six"),
    )
    for number in range(3):
        y = net.conv(f"block{number}.widen", x, 16, 48, size=1)
        y = net.add("Clip", f"block{number}.clip1", y, "zero", "six")
        y = net.conv(f"block{number}.depth", y, 48, 48, groups=48)
        y = net.add("Clip", f"block{number}.clip2", y, "zero", "six")
        x = net.add("Add", f"block{number}.sum", x, net.conv(f"block{number}.narrow", y, 48, 16, size=1))
    x = net.add("Flatten", "flat", net.add("GlobalAveragePool", "pool", x))
    net.add("Gemm", "logits", x, net.weight("head.weight", len(LABELS), 16, gain=4), transB=1)
    path = net.save(folder / "depthwise.onnx", {"images": ["batch", 3, 64, 64]}, {"logits": ["batch", len(LABELS)]})
    return with_passport(path, task="classify", labels=LABELS, decoder="yolo_cls", imgsz=(64, 64))


def transformer(folder: Path) -> Artifact:
    """A vision transformer: patches, two blocks of attention and a wide layer, and a head."""
    net, width, heads = Net(3), 32, 2
    patches = net.add(
        "Conv", "patch", "images", net.weight("patch.weight", width, 3, 8, 8), strides=[8, 8], kernel_shape=[8, 8]
    )
    x = net.add("Reshape", "tokens", patches, net.constant(np.array([0, width, 64], np.int64), "tokens.shape"))
    x = net.add("Transpose", "rows", x, perm=[0, 2, 1])
    x = net.add("Add", "placed", x, net.weight("places", 1, 64, width, gain=8))
    split = net.constant(np.array([0, 64, heads, width // heads], np.int64), "split")
    join = net.constant(np.array([0, 64, width], np.int64), "join")
    for number in range(2):
        name = f"block{number}"
        ones = net.constant(np.ones(width, np.float32), f"{name}.ones")
        y = net.add("LayerNormalization", f"{name}.norm1", x, ones, axis=-1)
        q, k, v = (
            net.add("Reshape", f"{name}.{part}.split", net.linear(f"{name}.{part}", y, width, width), split)
            for part in "qkv"
        )
        q = net.add("Transpose", f"{name}.q.heads", q, perm=[0, 2, 1, 3])
        k = net.add("Transpose", f"{name}.k.heads", k, perm=[0, 2, 3, 1])
        v = net.add("Transpose", f"{name}.v.heads", v, perm=[0, 2, 1, 3])
        scores = net.add("MatMul", f"{name}.scores", q, k)
        scaled = net.add("Mul", f"{name}.scaled", scores, net.constant(np.float32(0.25), f"{name}.scale"))
        seen = net.add("MatMul", f"{name}.seen", net.add("Softmax", f"{name}.attention", scaled, axis=-1), v)
        seen = net.add("Reshape", f"{name}.joined", net.add("Transpose", f"{name}.back", seen, perm=[0, 2, 1, 3]), join)
        x = net.add("Add", f"{name}.sum1", x, net.linear(f"{name}.project", seen, width, width))
        y = net.add("LayerNormalization", f"{name}.norm2", x, ones, axis=-1)
        y = net.linear(f"{name}.wide", y, width, 64)
        y = net.add("Mul", f"{name}.gelu", y, net.add("Sigmoid", f"{name}.gate", y))
        x = net.add("Add", f"{name}.sum2", x, net.linear(f"{name}.narrow", y, 64, width))
    x = net.add("ReduceMean", "pool", x, axes=[1], keepdims=0)
    net.add("Gemm", "logits", x, net.weight("head.weight", len(LABELS), width, gain=4), transB=1)
    path = net.save(folder / "transformer.onnx", {"images": ["batch", 3, 64, 64]}, {"logits": ["batch", len(LABELS)]})
    return with_passport(path, task="classify", labels=LABELS, decoder="yolo_cls", imgsz=(64, 64))


def segmenter(folder: Path) -> Artifact:
    """A U-Net: down, up again, what was seen on the way down joined on the way up; a score a pixel and class."""
    net = Net(4)
    a = net.relu("down0.relu", net.conv("down0", "images", 3, 12))
    b = net.relu(
        "down1.relu", net.conv("down1", net.add("MaxPool", "half", a, kernel_shape=[2, 2], strides=[2, 2]), 12, 24)
    )
    c = net.relu(
        "down2.relu", net.conv("down2", net.add("MaxPool", "quarter", b, kernel_shape=[2, 2], strides=[2, 2]), 24, 32)
    )
    up = net.add(
        "ConvTranspose", "up1", c, net.weight("up1.weight", 32, 24, 2, 2, gain=2), strides=[2, 2], kernel_shape=[2, 2]
    )
    d = net.relu("join1.relu", net.conv("join1", net.add("Concat", "both1", up, b, axis=1), 48, 24))
    scales = net.constant(np.array([1, 1, 2, 2], np.float32), "scales")
    up = net.add(
        "Resize",
        "up0",
        d,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    e = net.relu("join0.relu", net.conv("join0", net.add("Concat", "both0", up, a, axis=1), 36, 12))
    net.conv("regions", e, 12, 4, size=1)
    path = net.save(
        folder / "segmenter.onnx",
        {"images": ["batch", 3, "height", "width"]},
        {"regions": ["batch", 4, "height", "width"]},
    )
    return with_passport(path, imgsz=(64, 64), stride=4)


def recurrent(folder: Path) -> Artifact:
    """An LSTM over a series of measurements, and a linear head on its last state."""
    net, wide, inside = Net(5), 24, 8
    series = net.add("Transpose", "steps", "series", perm=[1, 0, 2])
    takes = (
        net.weight("lstm.weight", 1, 4 * wide, inside, gain=30),
        net.weight("lstm.state", 1, 4 * wide, wide, gain=40),
    )
    net.nodes.append(helper.make_node("LSTM", [series, *takes], ["", "lstm.last"], name="lstm", hidden_size=wide))
    x = net.add("Squeeze", "last", "lstm.last", net.constant(np.array([0], np.int64), "first"))
    net.add("Gemm", "forecast", x, net.weight("head.weight", 3, wide), transB=1)
    path = net.save(folder / "recurrent.onnx", {"series": ["batch", 12, inside]}, {"forecast": ["batch", 3]})
    return with_passport(path)


def perceptron(folder: Path) -> Artifact:
    """Three wide layers over a row of a table."""
    net = Net(6)
    x = net.add("Tanh", "first.tanh", net.linear("first", "row", 16, 64))
    x = net.relu("second.relu", net.linear("second", x, 64, 64))
    net.linear("third", x, 64, 4)
    path = net.save(folder / "perceptron.onnx", {"row": ["batch", 16]}, {"third.add": ["batch", 4]})
    return with_passport(path)


ARCHITECTURES = {
    "classifier": classifier,
    "depthwise": depthwise,
    "transformer": transformer,
    "segmenter": segmenter,
    "recurrent": recurrent,
    "perceptron": perceptron,
}


def decoder_preprocess(artifact: Artifact) -> Any:
    """What a batch of plain pictures becomes for this model."""
    from throughline.vision.decoders import DECODERS
    from throughline.vision.preprocess import PLAIN, normalise

    family = artifact.passport.decoder
    preprocess = DECODERS.get(family).facts.get("preprocess", PLAIN) if family else PLAIN

    def change(batch: Any) -> Any:
        normalise(batch, preprocess)
        return batch

    return change
