"""The built-in drift detectors, held to the suite that all are."""

from __future__ import annotations

from throughline.monitoring.detectors import DETECTORS
from throughline.testing.detectors import DetectorConformance


class TestPsi(DetectorConformance):
    detector = "psi"


class TestKs(DetectorConformance):
    detector = "ks"


class TestJensenShannon(DetectorConformance):
    detector = "jensen_shannon"


class TestWasserstein(DetectorConformance):
    detector = "wasserstein"


class TestMmd(DetectorConformance):
    detector = "mmd"


class TestGTest(DetectorConformance):
    detector = "g_test"


class TestPageHinkley(DetectorConformance):
    detector = "page_hinkley"


class TestAdwin(DetectorConformance):
    detector = "adwin"
    patience = 3


def test_every_detector_is_held_to_the_suite() -> None:
    held = {one.detector for one in DetectorConformance.__subclasses__()}
    assert held == set(DETECTORS.names())
