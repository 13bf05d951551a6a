"""Every target of the product, held to the shipped suite."""

from __future__ import annotations

from throughline.serving.deploying import TARGETS
from throughline.testing.targets import TargetConformance


class TestBentoML(TargetConformance):
    target = "bentoml"


class TestDocker(TargetConformance):
    target = "docker"


class TestKubernetes(TargetConformance):
    target = "kubernetes"


class TestTriton(TargetConformance):
    target = "triton"


def test_every_target_is_held_to_the_suite() -> None:
    assert {one.target for one in TargetConformance.__subclasses__()} == set(TARGETS.names())
