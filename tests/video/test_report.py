from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting, Ending, Gap
from throughline.contracts.streams import SourceInfo
from throughline.reports.charts import clock
from throughline.video.report import RunSummary, SourceSummary, write_report
from throughline.video.seen import Seen
from throughline.video.sinks import SINKS, in_one_part

EVIL = '<script>alert("1")</script>&\'$title'
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """The page as a browser would build it: every tag closed, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.cells: list[list[str]] = []
        self.texts: list[tuple[str, str]] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for _, data in self.texts).split())


def record(folder: Path, frames: int, labels: tuple[str, ...] = ("car", EVIL, "dog"), seconds: float = 0.1) -> None:
    """Frame i has i % 3 + 1 cars or other things, and the first of them is one long track."""
    info = SourceInfo("clip", 32, 24, Fraction(10))
    with (
        in_one_part(SINKS.make("jsonl", folder, info=info, labels=labels)) as lines,
        in_one_part(SINKS.make("samples", folder, info=info, labels=labels)) as pictures,
    ):
        for index in range(frames):
            count = index % 3 + 1
            found = Detections(
                np.tile(np.array([2, 2, 20, 20], np.float32), (count, 1)),
                np.full(count, 0.5, np.float32),
                np.arange(count) % len(labels),
                tracker_id=np.array([1, *(1000 + index * 10 + extra for extra in range(1, count))]),
                labels=labels,
            )
            image = np.full((24, 32, 3), index % 256, np.uint8)
            for sink in (lines, pictures):
                sink.write(Frame(index, index * seconds, image, "clip"), found)


def summary(folder: Path, **changes: object) -> RunSummary:
    source = SourceSummary(
        name=EVIL,
        folder=folder / "clip",
        ending=Ending.GAPS,
        accounting=Accounting(1236, 30, {"stride": 1206}, 1240, (Gap(1.5, 2.0, "corrupt " + EVIL),)),
        about="32x24",
    )
    given: dict[str, object] = dict(
        name=f"run {EVIL}",
        sources=(source,),
        seconds=12.0,
        stage_ms={"decode": 1.25, EVIL: 7.5},
        speed=((0.0, 10.0), (6.0, 30.5), (12.0, 20.0)),
        models=({"file": EVIL, "sha256": "ab" * 32},),
        settings={"conf": "0.25", "source": EVIL},
        footer=f"Throughline {EVIL}",
    )
    return RunSummary(**{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    record(tmp_path / "clip", 30)
    path = write_report(tmp_path, summary(tmp_path))
    assert path == tmp_path / "report.html"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip", "report.html"]
    return Page(path)


def test_nothing_in_it_reaches_out_or_runs(page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert not re.search(
        r"https?:|//[a-z]|@import", page.source.replace("data:image/jpeg;base64,", "").split("<body>")[0]
    )
    assert not re.search(r"https?:", page.source)
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert links
    assert all(value.startswith("data:image/jpeg;base64,") for value in links)
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


def test_what_comes_from_outside_is_shown_as_it_is(page: Page) -> None:
    shown = [cell for row in page.cells for cell in row]
    assert f"{EVIL}32x24" in shown
    assert "GAPS" in shown
    assert f"1.5 s to 2 s: corrupt {EVIL}" in shown
    for place in ("h1", "h2", "b", "td", "text", "title", "footer"):
        assert any(tag == place and EVIL in data for tag, data in page.texts), place


def test_the_numbers_are_those_of_the_data(page: Page, tmp_path: Path) -> None:
    records = [json.loads(line) for line in (tmp_path / "clip" / "detections.jsonl").read_text().splitlines()]
    found = Counter(one["class_name"] for record in records for one in record["detections"])
    tracks = {one["tracker_id"] for record in records for one in record["detections"]}
    tiles = [data for tag, data in page.texts if tag == "dd"]
    assert tiles == ["30", str(found.total()), str(len(tracks)), "2.5", "12 s"]
    (row,) = (row for row in page.cells if row[0].startswith(EVIL) and "GAPS" in row)
    assert row[2:6] == ["1,240", "1,236", "30", "1,206 stride"]
    for name, count in found.items():
        assert f"{name} {count} detections" in page.text
    assert "1.25 ms" in page.text
    assert "7.50 ms" in page.text


def test_the_lines_pass_through_the_data(tmp_path: Path) -> None:
    record(tmp_path, 30)
    seen = Seen.read(tmp_path / "detections.jsonl")
    points = [value for _, value in seen.rates(seen.objects, seen.objects.kinds(""))]
    assert points == [index % 3 + 1 for index in range(30)]
    assert (seen.first, seen.last) == (0, pytest.approx(2.9))


@pytest.mark.parametrize(("frames", "seconds"), [(1, 1.0), (2, 0.9), (7, 1.0)])
def test_frames_that_are_far_apart_are_joined_by_a_line(tmp_path: Path, frames: int, seconds: float) -> None:
    record(tmp_path / "clip", frames, labels=("car",), seconds=seconds)
    page = Page(write_report(tmp_path, summary(tmp_path)))
    drawn = [value for tag, name, value in page.attributes if (tag, name) == ("path", "d")]
    assert drawn[0].count(",") == frames + 1, "one place a frame, and the last one twice so that one alone is a dot"
    assert drawn[0].count("M") == 1


@pytest.mark.parametrize("seconds", [0.1, 10.0, 1000.0])
def test_a_long_run_keeps_its_totals_in_as_many_bins(tmp_path: Path, seconds: float) -> None:
    record(tmp_path, 600, seconds=seconds)
    seen = Seen.read(tmp_path / "detections.jsonl")
    points = seen.rates(seen.objects, seen.objects.kinds(""))
    assert 120 <= len(points) <= 240
    assert all(1 <= value <= 3 for _, value in points)
    assert sum(seen.objects.totals.values()) == 1200
    assert seen.last == pytest.approx(599 * seconds)


def test_every_drawing_can_be_read_aloud(page: Page) -> None:
    assert page.tags["svg"] == 4, "objects, tracks, stages, speed"
    assert page.tags["desc"] == 4
    assert [value for tag, name, value in page.attributes if (tag, name) == ("svg", "role")] == ["img"] * 4
    assert page.source.count('scope="col"') == 7
    alternatives = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert alternatives == ["frame 2 with its detections drawn"]


def test_the_pictures_are_the_samples(page: Page, tmp_path: Path) -> None:
    (picture,) = (value for tag, name, value in page.attributes if (tag, name) == ("img", "src"))
    (sample,) = (tmp_path / "clip" / "samples").iterdir()
    assert base64.b64decode(picture.partition(",")[2]) == sample.read_bytes()


def test_the_verdict_is_the_worst_ending(tmp_path: Path) -> None:
    def verdict(*endings: Ending | None) -> str:
        sources = tuple(SourceSummary(str(n), tmp_path, one, Accounting(0, 0)) for n, one in enumerate(endings))
        page = Page(write_report(tmp_path, summary(tmp_path, sources=sources)))
        return next(data for tag, data in page.texts if tag == "span")

    assert verdict(Ending.COMPLETE, Ending.COMPLETE) == "COMPLETE"
    assert verdict(Ending.COMPLETE, Ending.GAPS) == "GAPS"
    assert verdict(Ending.GAPS, None) == "INTERRUPTED"
    assert verdict(None, Ending.FAILED, Ending.GAPS) == "FAILED"


def test_a_bare_run_has_a_report_too(tmp_path: Path) -> None:
    bare = RunSummary("bare", (SourceSummary("cam", tmp_path / "cam", Ending.COMPLETE, Accounting(5, 5)),), 0.0)
    assert "no detections.jsonl" in Page(write_report(tmp_path, bare)).text
    info = SourceInfo("cam", 32, 24)
    with in_one_part(SINKS.make("jsonl", tmp_path / "cam", info=info)) as sink:
        sink.write(Frame(0, 0.0, np.zeros((24, 32, 3), np.uint8), "cam"), Detections.empty())
    assert "Nothing was found" in Page(write_report(tmp_path, bare)).text


def test_many_classes_and_tracks_are_capped_and_said_to_be(tmp_path: Path) -> None:
    labels = tuple(f"kind {number}" for number in range(20))
    info = SourceInfo("clip", 32, 24)
    with in_one_part(SINKS.make("jsonl", tmp_path / "clip", info=info, labels=labels)) as sink:
        for index in range(200):
            found = Detections(
                np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), np.array([index % 20]),
                tracker_id=np.array([index // 2]), labels=labels,
            )  # fmt: skip
            sink.write(Frame(index, index / 10, np.zeros((24, 32, 3), np.uint8), "clip"), found)
    text = Page(write_report(tmp_path, summary(tmp_path))).text
    assert "13 other classes 130 detections" in text
    assert "The 40 longest of 100 tracks." in text


def weather(confidence: float) -> Detections:
    """What a classifier says of a frame: sunny so surely, and rain for the rest."""
    return Detections(
        np.tile(np.array([0, 0, 32, 24], np.float32), (2, 1)), np.array([confidence, 1 - confidence], np.float32),
        np.arange(2), data={"of_frame": np.ones(2, np.bool_)}, labels=("sunny", EVIL),
    )  # fmt: skip


def cars(count: int) -> Detections:
    boxes = np.tile(np.array([2, 2, 20, 20], np.float32), (count, 1))
    return Detections(boxes, np.full(count, 0.5, np.float32), np.zeros(count, np.int64), labels=("car",))


def write_lines(folder: Path, results: Sequence[Detections]) -> None:
    with in_one_part(SINKS.make("jsonl", folder, info=SourceInfo("clip", 32, 24))) as sink:
        for index, found in enumerate(results):
            sink.write(Frame(index, index / 10, np.zeros((24, 32, 3), np.uint8), "clip"), found)


def test_each_model_has_its_own_counts(tmp_path: Path) -> None:
    models = ("fast", f"sure {EVIL}", "sky")
    followed = replace(cars(1), tracker_id=np.array([7]))
    results = [Detections.together((followed, cars(2), weather(0.75 - index % 2 / 2)), models) for index in range(20)]
    write_lines(tmp_path / "clip", results)
    seen = Seen.read(tmp_path / "clip" / "detections.jsonl")
    assert seen.objects.totals == {("fast", "car"): 20, (f"sure {EVIL}", "car"): 40}
    assert seen.surest == {("sky", "sunny"): 10, ("sky", EVIL): 10}
    assert [value for _, value in seen.rates(seen.objects, [("fast", "car")])] == [1] * 20
    assert [value for _, value in seen.rates(seen.whole, [("sky", "sunny")])] == [0.75, 0.25] * 10
    page = Page(write_report(tmp_path, summary(tmp_path)))
    heads = [data for tag, data in page.texts if tag == "h3"]
    assert heads[:2] == ["Objects in a frame, by fast", f"Objects in a frame, by sure {EVIL}"]
    assert heads[2:4] == ["Tracks", "The frame as a whole, by sky"]
    assert "car 20 detections, 1 track" in page.text
    assert "car 40 detections" in page.text
    assert "sunny the surest in 10 frames" in page.text
    assert ", 0 tracks" not in page.text, "where nothing is followed, there is nothing to count"
    tiles = dict(zip(*([data for tag, data in page.texts if tag == kind] for kind in ("dt", "dd")), strict=True))
    assert tiles["detections"] == "60"


def test_a_run_that_only_classifies_has_no_empty_figures(tmp_path: Path) -> None:
    write_lines(tmp_path / "clip", [weather(0.75)] * 5)
    page = Page(write_report(tmp_path, summary(tmp_path)))
    assert next(data for tag, data in page.texts if tag == "h3") == "The frame as a whole"
    assert "sunny the surest in 5 frames" in page.text
    assert "detections" not in [data for tag, data in page.texts if tag == "dt"]


@pytest.mark.parametrize("seconds", [0.1, 50.0])
def test_confidence_is_an_average_however_long_the_run(tmp_path: Path, seconds: float) -> None:
    with in_one_part(SINKS.make("jsonl", tmp_path, info=SourceInfo("clip", 32, 24))) as sink:
        for index in range(600):
            sink.write(Frame(index, index * seconds, np.zeros((24, 32, 3), np.uint8), "clip"), weather(0.75))
    seen = Seen.read(tmp_path / "detections.jsonl")
    assert [value for _, value in seen.rates(seen.whole, [("", "sunny")])] == pytest.approx(
        [0.75] * len(seen.rates(seen.whole, []))
    )


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    record(tmp_path / "clip", 2)
    with (tmp_path / "clip" / "detections.jsonl").open("a") as file:
        file.write('{"seconds": 1}\n')
    with pytest.raises(InputError, match=r"detections\.jsonl: line 3 is not a frame's results"):
        write_report(tmp_path, summary(tmp_path))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.html: cannot write"):
        write_report(tmp_path / "gone", summary(tmp_path, sources=()))


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0 s"), (0.25, "0.2 s"), (59.9, "59.9 s"), (60, "1:00"), (3599.6, "1:00:00"), (7322, "2:02:02")],
)
def test_times_are_written_as_people_write_them(seconds: float, written: str) -> None:
    assert clock(seconds) == written
