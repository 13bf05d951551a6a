"""``throughline explain``: a page with maps, or with columns; and what is wrong is said first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.errors import InputError
from throughline.testing.world import World
from throughline.testing.world.yolo import write_yolo
from throughline.verbs.explain import explain


def test_each_thing_is_shown_with_where_the_model_looked(tmp_path: Path) -> None:
    write_yolo(World(21, 320, 192), tmp_path / "street", train=1, val=2)
    report = explain(
        DETECTOR,
        source=str(tmp_path / "street" / "images" / "val"),
        pictures=1,
        imgsz=320,
        conf=0.1,
        out=tmp_path / "page",
    )
    assert report.places
    assert all(one.inside > one.by_chance for one in report.places)
    page = report.report.read_text("utf-8")
    assert page.count("<img") == 1 + len(report.places)
    assert report.places[0].kind in str(report)


def test_a_network_shows_its_gradients_beside_what_hiding_shows(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_yolo(World(21, 320, 192), tmp_path / "street", train=1, val=1)
    report = explain(
        WEIGHTS,
        source=str(tmp_path / "street" / "images" / "val"),
        class_="throughline.testing.demo_detector:build",
        pictures=1,
        imgsz=160,
        conf=0.05,
        out=tmp_path / "page",
    )
    assert report.places
    hidden, followed = ([one for one in report.places if one.method == how] for how in ("occlusion", "gradients"))
    assert [(one.kind, one.confidence) for one in hidden] == [
        (one.kind, pytest.approx(one.confidence, abs=1e-4)) for one in followed
    ]
    assert all(one.inside > 2 * one.by_chance for one in followed)
    assert ", by gradients" in report.report.read_text("utf-8")


def test_what_a_table_adds_is_shown_by_column(tmp_path: Path) -> None:
    pytest.importorskip("shap")
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import LinearRegression

    dice = np.random.default_rng(1)
    x = dice.standard_normal((60, 2))
    y = 2 * x[:, 0] - x[:, 1]
    skops.dump(LinearRegression().fit(x, y), tmp_path / "line.skops")
    rows = "\n".join(f"{a},{b},{c}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True))
    (tmp_path / "rows.csv").write_text(f"first,second,told\n{rows}\n")
    report = explain(tmp_path / "line.skops", source=str(tmp_path / "rows.csv"), target="told", out=tmp_path / "page")
    assert [name for name, _ in report.columns] == ["first", "second"]
    assert report.off < 1e-4
    assert report.report.read_text("utf-8").count("<svg") == 3


@pytest.mark.parametrize(
    ("given", "says"), [({"pictures": 0}, "--pictures 0"), ({"conf": 1.5}, "--conf 1.5"), ({}, "absent")]
)
def test_what_is_wrong_is_said(tmp_path: Path, given: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        explain(DETECTOR, source=str(tmp_path / "absent"), **given)
