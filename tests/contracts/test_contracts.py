from __future__ import annotations

import numpy as np
import pytest

from throughline.contracts import errors
from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.detections import Detection, Detections
from throughline.contracts.errors import InputError, MissingExtra, ThroughlineError
from throughline.contracts.masks import Masks
from throughline.contracts.runs import Accounting
from throughline.contracts.verdicts import Check, Verdict


def some(count: int = 3) -> Detections:
    return Detections(
        np.arange(count * 4, dtype=np.float32).reshape(count, 4),
        np.linspace(0.9, 0.1, count, dtype=np.float32),
        np.arange(count),
        tracker_id=np.arange(count) + 10,
        data={"visibility": np.ones(count)},
        labels=("cat", "dog"),
    )


def test_detections_are_rows_of_equal_columns() -> None:
    assert list(some())[1] == Detection((4, 5, 6, 7), pytest.approx(0.5), 1, "dog")
    assert some().name_of(2) == "2"
    assert len(Detections.empty()) == 0
    kept = some()[np.array([True, False, True])]
    assert kept.class_id.tolist() == [0, 2]
    assert kept.tracker_id is not None
    assert kept.tracker_id.tolist() == [10, 12]
    assert len(kept.data["visibility"]) == 2


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("xyxy", np.zeros((3, 5), np.float32), r"xyxy has shape \(3, 5\)"),
        ("confidence", np.zeros(2, np.float32), "confidence"),
        ("class_id", np.zeros((), np.int64), "class_id"),
        ("tracker_id", np.zeros(4, np.int64), "there are 3 boxes"),
        ("masks", Masks.of(np.zeros((2, 4, 4), bool)), "2 masks and 3 boxes"),
        ("masks", np.zeros((3, 4, 4), bool), r"Masks\.of"),
        ("data", {"visibility": np.ones(1)}, "visibility"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(column: str, value: object, told: str) -> None:
    columns = {"xyxy": some().xyxy, "confidence": some().confidence, "class_id": some().class_id, column: value}
    with pytest.raises(InputError, match=told):
        Detections(**columns)


def test_every_error_has_an_exit_code_a_status_and_a_place_in_the_drawn_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ThroughlineError)]
    drawing = (errors.__doc__ or "").splitlines()
    for kind in kinds:
        line = next(line for line in drawing if f"{kind.__name__} " in line)
        assert f"exit {kind.exit_code} " in line
        assert f"HTTP {kind.http_status} " in line
    assert len(kinds) == 8


def test_a_missing_extra_is_one_line_with_the_exact_command() -> None:
    error = MissingExtra("torch", "opening a checkpoint", "torch")
    assert error.problem == "opening a checkpoint needs torch, which is not installed"
    assert error.fix == "pip install 'throughline[torch]'"


def test_a_verdict_passes_only_on_checks_that_passed() -> None:
    good, bad = Check("map", 0.7, 0.6, True), Check("map", 0.5, 0.6, False)
    assert Verdict(("a",), (good, good)).passed
    assert not Verdict(("a",), (good, bad)).passed
    assert not Verdict(("a",), ()).passed, "no evidence is not a proof"


def test_frames_that_do_not_add_up_are_an_error() -> None:
    assert (
        str(Accounting(10, 7, {"late": 2, "corrupt": 1})) == "10 decoded = 7 inferred + 3 dropped (2 late, 1 corrupt)"
    )
    with pytest.raises(ThroughlineError, match="do not add up"):
        Accounting(10, 7, {"late": 2})


def test_a_spec_fills_its_dynamic_axes() -> None:
    spec = TensorSpec("images", "float32", ("batch", 3, "height", "width"))
    assert spec.concrete(batch=4, default=64) == (4, 3, 64, 64)
    assert str(spec) == "images float32[batch, 3, height, width]"
