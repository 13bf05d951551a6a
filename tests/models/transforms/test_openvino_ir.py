"""OpenVINO IR from ONNX: the same answers, its facts where the product reads them, INT8 that leaves decoding alone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
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
