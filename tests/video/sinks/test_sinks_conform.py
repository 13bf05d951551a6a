from __future__ import annotations

from typing import ClassVar

from throughline.testing.sinks import SinkConformance
from throughline.video.sinks import SINKS


class TestJsonl(SinkConformance):
    sink = "jsonl"


class TestCsv(SinkConformance):
    sink = "csv"


class TestMot(SinkConformance):
    sink = "mot"


class TestParquet(SinkConformance):
    sink = "parquet"


class TestVideo(SinkConformance):
    sink = "video"
    examples = 8


class TestCrops(SinkConformance):
    sink = "crops"
    examples = 8


class TestSamples(SinkConformance):
    sink = "samples"


class TestCallback(SinkConformance):
    sink, writes = "callback", False
    options: ClassVar = {"call": lambda frame, found: None}


def test_every_sink_is_here() -> None:
    assert {suite.sink for suite in SinkConformance.__subclasses__()} == set(SINKS.names())
