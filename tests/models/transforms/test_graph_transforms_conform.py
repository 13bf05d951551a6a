from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from throughline.contracts.errors import ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS
from throughline.testing.transforms import TransformConformance, detector, pictures


class TestSimplify(TransformConformance):
    transform = "simplify"


class TestAxes(TransformConformance):
    transform = "axes"
    options: ClassVar = {"batch": "dynamic", "imgsz": "dynamic"}


class TestHalf(TransformConformance):
    transform = "half"
    fed = True
    error = 2e-3


class TestInt8(TransformConformance):
    transform = "int8"
    fed = True
    error = 0.1


class TestInt8ForNvidia(TransformConformance):
    transform = "int8"
    options: ClassVar = {"for_": "nvidia", "method": "minmax"}
    fed = True
    error = 0.1


class TestWeights(TransformConformance):
    transform = "weights"
    error = 0.02


class TestNms(TransformConformance):
    transform = "nms"
    error = None


class TestOpenVino(TransformConformance):
    transform = "openvino"
    renames = True


class TestOpenVinoInt8(TransformConformance):
    transform = "openvino_int8"
    fed = True
    error = 0.1
    renames = True


def test_large_models_keep_their_weights_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit at a few kilobytes, for want of two gigabytes."""
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    monkeypatch.setattr("throughline.models.transforms._graph.OUTSIDE_FROM", 5_000)
    made = TRANSFORMS.make("axes", read_artifact(parent), tmp_path / "child.onnx", batch=2)
    assert made.companions == ("child.onnx.data",)
    (feed,) = pictures(1, batch=2)
    with open_model(parent) as one, open_model(tmp_path / "child.onnx") as other:
        np.testing.assert_array_equal(one.predict(feed)["output0"], other.predict(feed)["output0"])
    again = TRANSFORMS.make("half", read_artifact(tmp_path / "child.onnx"), tmp_path / "half.onnx")
    assert again.companions == ("half.onnx.data",)


def test_what_reaches_for_files_of_others_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(detector())
    tensor = next(one for one in model.graph.initializer if one.name == "w3")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(model.SerializeToString())
    for transform in ("simplify", "half", "openvino"):
        with pytest.raises(ModelRefused, match="leaves the model's folder"):
            TRANSFORMS.make(transform, read_artifact(parent), tmp_path / "child.any")
