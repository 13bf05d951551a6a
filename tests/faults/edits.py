"""Small changes to ONNX graphs, from which faults are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.samples import DataSet, Sample
from throughline.models import passport as passports
from throughline.models.artifact import Given, read_artifact
from throughline.testing.world import World


@cache
def streets(count: int, first: int = 9000) -> DataSet:
    """Labelled pictures of as many streets."""
    samples = []
    for seed in range(first, first + count):
        frame, truth = World(seed=seed).frame(30)
        image = frame.image
        samples.append(
            Sample(f"street {seed}", lambda image=image: image, sha256(image.tobytes()).hexdigest(), truth.detections)
        )
    return DataSet("streets", "yolo", "detect", samples[0].truth.labels, samples, "0" * 64)


def carried(path: Path, like: Artifact, **facts: Any) -> Artifact:
    """The file with its reference's passport, as a careful exporter would write it, save what is given here."""
    known = like.passport
    said = {"task": known.task, "labels": known.labels, "decoder": known.decoder, "imgsz": known.imgsz}
    said = {**said, "stride": known.stride, **facts}
    artifact = read_artifact(path, Given(**{name: value for name, value in said.items() if value}))
    return Artifact(path, passports.issue(path, artifact.passport, vouch=True), True)


def edited(reference: Artifact, folder: Path, change: Callable[[Any], None], **facts: Any) -> Artifact:
    """The reference's graph after a change, as a file of its own."""
    model = onnx.load(reference.path)
    change(model)
    path = folder / "candidate.onnx"
    onnx.save(model, path)
    return carried(path, reference, **facts)


def initializer(model: Any, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def set_weights(model: Any, name: str, change: Callable[[Array], Array]) -> None:
    tensor = initializer(model, name)
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(values.copy())).astype(values.dtype), name))


def node_of(model: Any, name: str) -> Any:
    return next(node for node in model.graph.node if node.name == name)


def insert_after_input(model: Any, op: str, *constants: Array, **options: Any) -> None:
    """Put an operator between the picture and all that reads it, save what only asks for its shape."""
    picture = model.graph.input[0].name
    names = []
    for number, values in enumerate(constants):
        names.append(f"planted_{number}")
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), names[-1]))
    for node in model.graph.node:
        if node.op_type != "Shape":
            node.input[:] = ["planted" if name == picture else name for name in node.input]
    model.graph.node.insert(0, helper.make_node(op, [picture, *names], ["planted"], name="planted", **options))


def insert_after(model: Any, tensor: str, nodes: Callable[[str, str], list[Any]]) -> None:
    """Put nodes behind the maker of a tensor: they take ``tensor`` under another name and give it."""
    number, maker = next((at, node) for at, node in enumerate(model.graph.node) if tensor in node.output)
    maker.output[:] = [f"{name}.before" if name == tensor else name for name in maker.output]
    for offset, node in enumerate(nodes(f"{tensor}.before", tensor)):
        model.graph.node.insert(number + 1 + offset, node)


def arrays_of(
    artifact: Artifact, data: DataSet, change: Callable[[Array], Array] = lambda x: x
) -> Callable[[], Iterator[Mapping[str, Array]]]:
    """The pictures as feeds of a model that takes them plain."""
    from throughline.contracts.frames import Frame
    from throughline.vision.letterbox import Letterbox

    def feeds() -> Iterator[Mapping[str, Array]]:
        for number, sample in enumerate(data):
            image = sample.read()
            size = artifact.passport.imgsz or (image.shape[0], image.shape[1])
            batch = np.empty((1, 3, *size), np.float32)
            Letterbox.fit((image.shape[0], image.shape[1]), size).apply(
                Frame(number, 0.0, image, "x").picture, batch[0]
            )
            yield {artifact.inputs[0].name: change(batch)}

    return feeds
