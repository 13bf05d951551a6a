from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from blobs import LABELS, SIDE, picture
from onnx import TensorProto, helper

from throughline.contracts.artifacts import Artifact, Passport, TensorSpec
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.models.session import open_model
from throughline.vision.decoders.yolo import decode
from throughline.vision.detector import Detector, class_numbers, input_size
from throughline.vision.preprocess import Preprocess


def artifact(*inputs: TensorSpec) -> Artifact:
    return Artifact(Path("m.onnx"), Passport("m.onnx", "", 0, "onnx", inputs=inputs), False)


def test_the_size_of_a_models_pictures_is_read_from_its_input() -> None:
    assert input_size(artifact(TensorSpec("x", "float32", ("batch", 3, 384, 640)))) == (384, 640)
    assert input_size(artifact(TensorSpec("x", "float32", (1, 3, "h", "w")))) is None
    for wrong in [(), (TensorSpec("x", "float32", ("b", 6, 32)),), (TensorSpec("x", "float32", ("b", 384, 640, 3)),)]:
        with pytest.raises(InputError, match="batch x 3 x height x width"):
            input_size(artifact(*wrong))


def test_classes_are_named_or_numbered() -> None:
    labels = ("person", "car", "dog")
    assert class_numbers(None, labels) is None
    assert class_numbers("dog, 1,person,dog", labels) == (0, 1, 2)
    assert class_numbers("7", ()) == (7,)
    for wrong in ("cat", "-1", "", ",", "1.5"):
        with pytest.raises(InputError, match="no class"):
            class_numbers(wrong, labels)


def test_a_picture_goes_in_as_the_family_wants_it_and_only_asked_classes_come_out(blob_model: Path) -> None:
    frame = Frame(0, 0.0, picture(3), "test")
    with open_model(blob_model, threads=1) as session:
        plain = Detector(session, decode, (SIDE, SIDE), LABELS, 0.5)
        stretched = Detector(session, decode, (SIDE, SIDE), LABELS, 0.5, preprocess=Preprocess(bgr=True, stretch=True))
        batch, other = plain.buffer(2), stretched.buffer(2)
        fits = plain.fill(batch, [frame, frame])
        assert (fits[0].picture, stretched.fill(other, [frame, frame])[0].picture) == ((48, 64), (64, 64))
        assert (batch[:, :, :8] == np.float32(114 / 255)).all()
        found = plain.read(plain.predict(batch), fits)
        assert len(found) == 2
        assert len(found[0]) >= 1
        nothing = Detector(session, decode, (SIDE, SIDE), LABELS, 0.5, classes=(4,))
        assert [len(one) for one in nothing.read(nothing.predict(batch), fits)] == [0, 0]


def test_what_a_model_takes_besides_pictures_is_fed_or_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["sizes"], ["out"], to=TensorProto.FLOAT)],
        "sized",
        [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE]),
            helper.make_tensor_value_info("sizes", TensorProto.INT64, ["batch", 2]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 2])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    with open_model(tmp_path / "m.onnx", threads=1) as session:
        with pytest.raises(InputError, match=r"takes more than pictures: sizes int64\[batch, 2\]"):
            Detector(session, decode, (SIDE, SIDE))
        fed = Detector(
            session, decode, (SIDE, 32), feeds={"sizes": lambda canvas, frames: np.tile(canvas, (frames, 1))}
        )
        batch = np.zeros((3, 3, SIDE, SIDE), np.float32)
        assert fed.predict(batch)["out"].tolist() == [[SIDE, 32]] * 3
