from __future__ import annotations

from throughline.testing.transforms import TransformConformance


class TestSimplify(TransformConformance):
    transform = "simplify"


class TestHalf(TransformConformance):
    transform = "half"
    fed = True
    error = 2e-3


class TestInt8(TransformConformance):
    transform = "int8"
    fed = True
    error = 0.1
