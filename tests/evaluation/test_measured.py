"""All figures of one evaluation together: what they are of masks, of videos, and of names that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.samples import Sample
from throughline.evaluation.answers import in_common, in_labels
from throughline.evaluation.evaluate_report import write_report
from throughline.evaluation.masks import regions, score_masks
from throughline.evaluation.measured import Measured, measure
from throughline.testing.world import World

PICTURES = 12


@pytest.fixture(scope="module")
def street() -> tuple[list[Sample], list[Detections]]:
    frames = [World(7, 320, 192).frame(30 * number) for number in range(PICTURES)]
    samples = [
        Sample(str(at), lambda frame=frame: frame.image, "", truth.detections, {"hour": float(at)}, f"clip {at // 2}")
        for at, (frame, truth) in enumerate(frames)
    ]
    return samples, [truth.detections for _, truth in frames]


def spoilt(truth: list[Detections]) -> list[Detections]:
    """Everything is said, a little unsurely; one in four is of another class, and nothing is said of some pictures."""
    found = []
    for number, one in enumerate(truth):
        kind = np.where(np.arange(len(one)) % 4 == 3, (one.class_id + 1) % 6, one.class_id)
        sure = np.linspace(0.95, 0.3, len(one)).astype(np.float32)
        said = Detections(one.xyxy, sure, kind, one.masks, labels=one.labels)
        found.append(said[:0] if number % 6 == 5 else said)
    return found


def measured(street: tuple[list[Sample], list[Detections]], task: str, **options: object) -> Measured:
    samples, truth = street
    return measure(task, spoilt(truth), truth, samples, ["medium"] * PICTURES, resamples=60, **options)  # type: ignore[arg-type]


def test_masks_are_measured_as_regions_as_masks_and_as_boxes(
    street: tuple[list[Sample], list[Detections]], tmp_path: Path
) -> None:
    samples, truth = street
    done = measured(street, "segment", slices=["hour"])
    assert list(done.figures) == ["mIoU", "mask mAP50-95", "mask mAP50", "box mAP50-95", "box mAP50"]
    by_masks, areas = score_masks(spoilt(truth), truth), regions(spoilt(truth), truth).by_class()
    assert done.figures["mask mAP50-95"].value == pytest.approx(by_masks.map50_95)
    assert done.figures["mIoU"].value == pytest.approx(np.mean(list(areas.values())))
    rows = {row.name: row.figures["mask AP50-95"].value for row in done.classes}
    assert rows == pytest.approx({name: one.ap50_95 for name, one in by_masks.classes.items()})
    assert [(split.trait, split.metric) for split in done.slicings][-1] == ("hour", "mIoU")
    page = write_report(tmp_path / "report.html", "a <model>", "says", done, samples, {}, {}).read_text()
    assert "mask mAP50-95" in page
    assert "Precision of the masks at each recall" in page
    assert "a &lt;model&gt;" in page


def test_a_box_that_was_misplaced_is_shown_with_its_object(
    street: tuple[list[Sample], list[Detections]], tmp_path: Path
) -> None:
    samples, truth = street
    shift = [
        Detections(o.xyxy + (o.xyxy[:, 2:] - o.xyxy[:, :2]).repeat(2, 1) * 0.3, o.confidence, o.class_id) for o in truth
    ]
    done = measure("detect", shift, truth, samples, [""] * PICTURES, resamples=20)
    assert done.figures["mAP50-95"].value < 0.3
    assert len(done.confusion.worst("misplaced")) == 6
    page = write_report(tmp_path / "report.html", "model", "says", done, samples, {}, {}).read_text()
    assert "Boxes that lie beside their object" in page


def test_frames_of_few_videos_are_drawn_one_by_one_and_of_many_with_their_video(
    street: tuple[list[Sample], list[Detections]],
) -> None:
    samples, truth = street
    few = measured(street, "detect")
    assert few.notes == ("intervals: the pictures are of 6 videos, so other videos may well lie outside them",)
    more = [Sample(one.name, one.read, "", one.truth, {}, f"clip {min(at, 10)}") for at, one in enumerate(samples)]
    many = measure("detect", spoilt(truth), truth, more, [""] * PICTURES, resamples=20)
    assert many.notes == ("intervals: the 11 videos were drawn, each with all its pictures",)
    alone = [Sample(one.name, one.read, "", one.truth) for one in samples]
    assert measure("detect", spoilt(truth), truth, alone, [""] * PICTURES, resamples=20).notes == ()


def test_what_few_pictures_show_has_no_interval(street: tuple[list[Sample], list[Detections]]) -> None:
    samples, truth = street
    rare = [one if number < 4 else one[one.class_id != 0] for number, one in enumerate(truth)]
    done = measure("detect", spoilt(truth), rare, samples, [""] * PICTURES, resamples=60)
    figures = {row.name: row.figures["AP50"] for row in done.classes}
    assert figures["person"].samples == 4
    assert np.isnan(figures["person"].low)
    assert not np.isnan(figures["person"].value)
    assert figures["car"].samples >= 5
    assert figures["car"].low <= figures["car"].high


def test_size_is_no_trait_of_whole_pictures(street: tuple[list[Sample], list[Detections]]) -> None:
    with pytest.raises(InputError, match="whole pictures have no object size"):
        measure("classify", [], [], street[0], [], ["size"])


def said(*kinds: int, labels: tuple[str, ...]) -> Detections:
    boxes = np.tile(np.float32([0, 0, 4, 4]), (len(kinds), 1))
    return Detections(boxes, np.ones(len(kinds), np.float32), np.array(kinds, np.int64), labels=labels)


def test_class_numbers_follow_the_names() -> None:
    moved = in_labels(said(0, 1, 2, 1, labels=("cat", "dog", "owl")), ("dog", "cow", "cat"))
    assert moved.class_id.tolist() == [2, 0, 0]
    assert moved.labels == ("dog", "cow", "cat")


def test_a_model_without_names_is_taken_at_its_numbers_as_far_as_the_data_have_them() -> None:
    notes: list[str] = []
    [one] = in_common([said(1, labels=())], (), ("cat", "dog"), notes)
    assert (one.labels, notes) == (
        ("cat", "dog"),
        ["the model names no classes: its numbers were taken for the data's"],
    )
    with pytest.raises(InputError, match="the model says class 2 and names none; the data have 2 classes"):
        in_common([said(2, labels=())], (), ("cat", "dog"), [])
