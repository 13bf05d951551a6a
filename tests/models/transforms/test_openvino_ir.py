"""OpenVINO IR from ONNX: the same answers, its facts where the product reads them, INT8 that leaves decoding alone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.evaluation.verification import verify_models
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS
from throughline.testing.transforms import detector, pictures


def test_the_bundled_detector_is_the_same_as_ir(tmp_path: Path) -> None:
    source = read_artifact(DETECTOR)
    made = TRANSFORMS.make("openvino", source, tmp_path / "detector.xml")
    assert made.companions == ("detector.bin",)
    child = read_artifact(tmp_path / "detector.xml")
    for fact in ("labels", "task", "decoder", "imgsz", "stride", "licence", "precision"):
        assert getattr(child.passport, fact) == getattr(source.passport, fact), fact
    x = np.random.default_rng(0).random((2, 3, 96, 128), np.float32)
    with open_model(DETECTOR, device="cpu") as one, open_model(child.path, device="cpu") as other:
        expected, found = one.predict({"images": x})["output0"], other.predict({"images": x})["output0"]
    np.testing.assert_allclose(found, expected, atol=0.02, rtol=1e-4)


def test_weights_are_halves_only_when_asked_for(tmp_path: Path) -> None:
    source = read_artifact(DETECTOR)
    sizes = []
    for half in (False, True):
        TRANSFORMS.make("openvino", source, tmp_path / "detector.xml", half=half)
        sizes.append((tmp_path / "detector.bin").stat().st_size)
    assert sizes[1] < 0.55 * sizes[0]
    assert read_artifact(tmp_path / "detector.xml").passport.precision == "float16"


def test_what_only_the_passport_knows_goes_along(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    source = read_artifact(parent)
    labels = ("it's", 'a "dog"', "鳥, blue")
    source = Artifact(parent, replace(source.passport, labels=labels, licence="MIT", stride=16), False)
    TRANSFORMS.make("openvino", source, tmp_path / "child.xml")
    child = read_artifact(tmp_path / "child.xml").passport
    assert (child.labels, child.licence, child.stride) == (labels, "MIT", 16)


def test_int8_leaves_decoding_and_kept_nodes_alone(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    made = TRANSFORMS.make(
        "openvino_int8", read_artifact(parent), tmp_path / "int8.xml", feeds=lambda: iter(pictures(4)), keep=("deep",)
    )
    assert made.step.options["feeds"] == 4
    model = openvino.Core().read_model(tmp_path / "int8.xml")
    rounded = {
        reader.get_node().get_friendly_name().removesuffix("/WithoutBiases")
        for operation in model.get_ops()
        if operation.get_type_name() == "FakeQuantize"
        for reader in operation.output(0).get_target_inputs()
    }
    assert {"body", "boxes", "classes"} <= rounded
    assert not {"deep", "in_pixels", "scores", "both", "places"} & rounded
    assert "int8" in (read_artifact(tmp_path / "int8.xml").passport.precision or "")


def test_a_proof_on_openvino_catches_what_it_makes_of_a_graph_for_nvidia(tmp_path: Path) -> None:
    """OpenVINO 2026.4 moves the rounding of joined tensors onto each, and may get signed numbers wrong there."""
    dice, node = np.random.default_rng(0), helper.make_node
    kernels = {"a": (16, 3, 3, 3), "b": (16, 16, 3, 3), "c": (8, 32, 1, 1)}
    nodes = [
        node("Conv", ["x", "a"], ["ca"], "first", pads=[1] * 4),
        node("Relu", ["ca"], ["ra"], "relu"),
        node("Conv", ["ra", "b"], ["cb"], "second", pads=[1] * 4),
        node("Relu", ["cb"], ["rb"], "relu2"),
        node("Concat", ["ra", "rb"], ["both"], "both", axis=1),
        node("Conv", ["both", "c"], ["y"], "last"),
    ]
    graph = helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 16, 16])],
        [
            numpy_helper.from_array(dice.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32), name)
            for name, shape in kernels.items()
        ],
    )
    parent = tmp_path / "joined.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), parent)
    x = dice.normal(0, 1, (4, 3, 16, 16)).astype(np.float32)
    feeds = [{"x": one[None]} for one in x]
    right = onnxruntime.InferenceSession(parent).run(None, {"x": x})[0].ravel()
    passed, alike = {}, {}
    for kind in ("cpu", "nvidia"):
        made = tmp_path / f"{kind}.onnx"
        TRANSFORMS.make("int8", read_artifact(parent), made, feeds=lambda: iter(feeds), for_=kind)
        TRANSFORMS.make("openvino", read_artifact(made), made.with_suffix(".xml"))
        for path in (made, made.with_suffix(".xml")):
            proof = verify_models(read_artifact(parent), read_artifact(path), arrays={"x": x}, asked="int8", part=False)
            passed[path.name] = proof.verdict.passed
            with open_model(path) as session:
                said = session.predict({"x": x})["y"].ravel()
            alike[path.name] = float(right @ said / np.linalg.norm(right) / np.linalg.norm(said))
    assert passed == {name: cosine > 0.97 for name, cosine in alike.items()}  # not every processor gets it wrong
    assert all(passed[name] for name in ("cpu.onnx", "cpu.xml", "nvidia.onnx"))


def test_nobody_is_told_about_it(tmp_path: Path) -> None:
    """In a process of its own: both makers' packages hold back where they see that a test runs."""
    program = """
import socket, sys
from pathlib import Path

def refuse(*asked, **options):
    print("NETWORK", asked)
    raise OSError("no network")

socket.getaddrinfo = socket.socket.connect = refuse
from throughline.models.artifact import read_artifact
from throughline.models.transforms import TRANSFORMS
from throughline.testing.transforms import detector, pictures

parent, target = Path(sys.argv[1]) / "parent.onnx", Path(sys.argv[1]) / "child.xml"
parent.write_bytes(detector())
TRANSFORMS.make("openvino", read_artifact(parent), target)
TRANSFORMS.make("openvino_int8", read_artifact(parent), target, feeds=lambda: iter(pictures(2)))
assert sys.modules["openvino_telemetry"] is None
"""
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=told, capture_output=True, text=True, check=True
    )
    assert ran.stdout == ""


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    source = read_artifact(parent)

    def feeds() -> object:
        return iter(pictures(1))

    with pytest.raises(InputError, match="preset='best'"):
        TRANSFORMS.make("openvino_int8", source, tmp_path / "int8.xml", feeds=feeds, preset="best")
    with pytest.raises(InputError, match="'nowhere'"):
        TRANSFORMS.make("openvino_int8", source, tmp_path / "int8.xml", feeds=feeds, keep=("nowhere",))
    with pytest.raises(InputError, match="no feeds"):
        TRANSFORMS.make("openvino_int8", source, tmp_path / "int8.xml", feeds=lambda: iter(()))
    model = onnx.load(parent)
    model.graph.node[1].op_type = "Sigmoidd"
    onnx.save(model, parent)
    with pytest.raises(ModelRefused, match="OpenVINO cannot read it"):
        TRANSFORMS.make("openvino", read_artifact(parent), tmp_path / "child.xml")
