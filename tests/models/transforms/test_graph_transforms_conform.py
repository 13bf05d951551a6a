from __future__ import annotations

from typing import ClassVar

from throughline.testing.transforms import TransformConformance


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
