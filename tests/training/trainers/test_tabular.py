"""Tables: every kind of model on scikit-learn's own data, held to its baseline; texts, gaps, groups; what ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughline
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table
from throughline.data.encoding import Columns
from throughline.data.tables import open_table
from throughline.evaluation.tabular import ask_rows, rows_for
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.testing.trainers import TrainerConformance
from throughline.training.issuing import issue_passport
from throughline.training.recipe import read_recipe
from throughline.training.run import Pruned, Run, Trained
from throughline.training.trainers import TRAINERS
from throughline.training.trainers._rows import read_rows

pytest.importorskip("sklearn")
KINDS = ("linear", "forest", "xgboost", "lightgbm")


def bundled(name: str, folder: Path) -> Path:
    """One of scikit-learn's own tables as a CSV."""
    from sklearn import datasets

    data, path = getattr(datasets, f"load_{name}")(), folder / f"{name}.csv"
    lines = [",".join([*data.feature_names, "target"])]
    names = getattr(data, "target_names", None)
    for row, target in zip(data.data.tolist(), data.target.tolist(), strict=True):
        lines.append(",".join([*map(repr, row), repr(target) if names is None else str(names[target])]))
    path.write_text("\n".join(lines) + "\n")
    return path


def orders(path: Path, count: int = 300, strange: str = "blue") -> Path:
    """Numbers, texts and gaps, of which a price follows that no straight line tells; customers come back."""
    dice = np.random.default_rng(5)
    lines = ["customer,size,colour,gift,outcome"]
    for number in range(count):
        size, colour = dice.uniform(-2, 2), dice.choice(["red", "green", strange])
        gift = dice.random() < 0.5
        kept = (abs(size) < 1) != (colour == "red")
        told = "" if dice.random() < 0.05 else f"{size:.4f}"
        lines.append(f"c{number // 3},{told},{'' if dice.random() < 0.03 else colour},{str(gift).lower()},"
                     f"{'kept' if kept else 'returned'}")  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def carried(folder: Path, **told: Any) -> tuple[Trained, list[tuple[Mapping[str, float], int]], list[str]]:
    folder.mkdir(exist_ok=True)
    logged: list[tuple[Mapping[str, float], int]] = []
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "tabular", "name": "small", "trees": 30, **told})
    trained: Trained = TRAINERS.make(
        "tabular", recipe, Run(folder, lambda values, step: logged.append((dict(values), step)), said.append)
    )
    issue_passport(recipe, trained, {"throughline": "any"})
    return trained, logged, said


class TestLightGBM(TrainerConformance):
    trainer = "tabular"
    kind = "lightgbm"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "orders.csv"
        return {
            "data": str(data if data.exists() else orders(data)), "target": "outcome", "group": "customer",
            "model": self.kind, "rounds": 40, "trees": 20,
        }  # fmt: skip

    def test_it_is_better_than_a_straight_line_where_none_can_tell(self) -> None:
        trained = self.carried().trained
        lead = -0.1 if self.kind == "linear" else 0.15
        assert trained.metrics["accuracy"] > trained.baseline["accuracy"] + lead

    def test_its_onnx_is_beside_it_and_proven(self) -> None:
        trained = self.carried().trained
        beside = read_artifact(trained.path.with_suffix(".onnx"))
        passports.verify(beside.path, beside.passport)
        assert beside.passport.parent == self.carried().artifact.sha256
        assert all(verdict.passed for verdict in beside.passport.evidence)
        assert beside.labels == ("kept", "returned")


class TestLinear(TestLightGBM):
    kind = "linear"

    def test_it_is_better_than_a_straight_line_where_none_can_tell(self) -> None:
        trained = self.carried().trained
        assert trained.metrics["accuracy"] < 0.65, "it is a straight line"
        assert trained.baseline["log_loss"] < 0.75, "its baseline is the most frequent class, with all shares"


@pytest.mark.parametrize(
    ("name", "kind", "metric", "baseline", "at_least"),
    [
        ("breast_cancer", "linear", "accuracy", 0.65, 0.95),
        ("breast_cancer", "xgboost", "accuracy", 0.99, 0.93),
        ("wine", "linear", "accuracy", 0.6, 0.93),
        ("wine", "lightgbm", "accuracy", 1.0, 0.9),
        ("diabetes", "linear", "r2", 0.01, 0.4),
        ("diabetes", "forest", "r2", 0.55, 0.35),
    ],
)
def test_on_data_that_everybody_knows(
    tmp_path: Path, name: str, kind: str, metric: str, baseline: float, at_least: float
) -> None:
    trained, logged, said = carried(tmp_path / "run", data=str(bundled(name, tmp_path)), model=kind, seed=1, rounds=80)
    assert trained.metrics[metric] >= at_least
    assert trained.baseline[metric] <= baseline
    assert logged[0][1] == 0
    assert logged[-1][0][f"val/{metric}"] == trained.metrics[metric]
    better = trained.metrics[trained.metric] - trained.baseline[trained.metric]
    lost = better <= 0 if trained.higher_is_better else better >= 0
    assert lost == any("WARNING" in line for line in said), said


def test_the_task_is_told_by_the_target_or_by_its_user(tmp_path: Path) -> None:
    wine = bundled("diabetes", tmp_path)
    lines = wine.read_text().splitlines()
    lines = [lines[0], *(f"{line.rpartition(',')[0]},{number % 3}" for number, line in enumerate(lines[1:61]))]
    (tmp_path / "three.csv").write_text("\n".join(lines) + "\n")
    told = {"data": str(tmp_path / "three.csv"), "model": "linear"}
    counted, _, _ = carried(tmp_path / "a", **told)
    estimated, _, _ = carried(tmp_path / "b", **told, task="regress")
    assert (counted.metric, estimated.metric) == ("accuracy", "rmse")
    assert counted.about["labels"] == ("0", "1", "2")
    assert estimated.about["task"] == "regress"


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_and_its_passport_are_enough_for_another_table(tmp_path: Path, kind: str) -> None:
    told = {"target": "outcome", "group": "customer", "model": kind, "rounds": 40}
    trained, _, _ = carried(tmp_path / "run", data=str(orders(tmp_path / "a.csv")), **told)
    other = open_table(orders(tmp_path / "b.csv", 60, strange="mauve"), "outcome")  # mauve was never seen
    turned = Table(other.name, dict(reversed(other.columns.items())), other.target, other.sha256)
    right = other.columns["outcome"]
    for path in (trained.path, trained.path.with_suffix(".onnx")):
        artifact = read_artifact(path)
        with open_model(path) as model:
            one, two = (ask_rows(model, rows_for(artifact, table)) for table in (other, turned))
        assert one.label is not None
        assert np.array_equal(one.label, two.label)
        said = np.array(artifact.labels, object)[one.label]
        assert kind == "linear" or (said == right).mean() > 0.7


def test_compare_takes_two_of_them_with_texts_and_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("linear", "xgboost"):
        told = {"target": "outcome", "group": "customer", "rounds": 40, "model": kind}
        carried(tmp_path / kind, data=str(orders(tmp_path / "orders.csv")), **told)
    said = throughline.compare(
        "linear/model.skops",
        "xgboost/model.ubj",
        data="xgboost/held-out.parquet",
        target="outcome",
        out=Path("compared"),
    )
    assert "better" in str(said)


def test_columns_that_are_otherwise_are_refused(tmp_path: Path) -> None:
    table = open_table(orders(tmp_path / "orders.csv", 30), "outcome")
    columns = Columns.of(table, ["size", "colour"], np.arange(30), 2)
    assert Columns.told_by([columns.step()]) == columns
    assert len(columns.texts["colour"]) == 2
    assert sum(columns.unknown(table).values()) > 0
    without = Table("t", {"size": table.columns["size"]}, None, "")
    with pytest.raises(InputError, match="no column 'colour'"):
        columns.rows(without)
    with pytest.raises(InputError, match="learned it as text"):
        columns.rows(Table("t", {"size": table.columns["size"], "colour": table.columns["size"]}, None, ""))


@pytest.mark.parametrize(
    ("rows", "told", "problem"),
    [
        ("a,target\n" + "1,x\n2,y\n" * 5 + "3,z\n", {"seed": "0"}, "class 'z'"),
        ("a,target\n1,x\n2,x\n3,x\n", {}, "in every row"),
        ("a,target\n1,x\n2,y\n3,x\n", {"task": "regress"}, "is text"),
        ("a,target\n1,x\n2,\n3,x\n", {}, "no value"),
        ("a,target\n1,x\n2,y\n", {}, "2 rows"),
        ("target\n1\n2\n3\n", {}, "nothing beside"),
        ("a,target\n1,x\n2,y\n3,x\n", {"group": "shop"}, "no column 'shop'"),
        ("a,b\n1,x\n", {}, "no column 'target'"),
        ("a,target\n1,x\n1e300,y\n3,x\n4,y\n", {}, "models take float32"),
    ],
)
def test_what_nobody_can_learn_from_is_refused(tmp_path: Path, rows: str, told: dict[str, str], problem: str) -> None:
    (tmp_path / "rows.csv").write_text(rows)
    with pytest.raises(InputError, match=problem):
        carried(tmp_path / "run", data=str(tmp_path / "rows.csv"), **told)
    assert not list((tmp_path / "run").iterdir())


def test_groups_stay_together_and_the_rows_that_judge_do_not_hang_on_the_model(tmp_path: Path) -> None:
    orders(tmp_path / "orders.csv")
    told = {"trainer": "tabular", "data": "x", "target": "outcome", "group": "customer", "seed": 4}
    seen = []
    for kind in ("linear", "lightgbm"):
        options = read_recipe(None, {**told, "model": kind}).options
        rows = read_rows(str(tmp_path / "orders.csv"), options, 4)
        seen.append(rows.val.x.tobytes())
        assert len(rows.val.y) % 3 == len(rows.stop.y) % 3 == len(rows.train.y) % 3 == 0
    assert seen[0] == seen[1]


def test_what_is_resumed_is_trained_again_to_the_same_bytes_and_says_so(tmp_path: Path) -> None:
    told = {"data": str(orders(tmp_path / "orders.csv")), "target": "outcome", "model": "xgboost", "rounds": 20}
    trained, _, _ = carried(tmp_path / "run", **told)
    before = trained.path.read_bytes()
    trained.path.write_bytes(b"half")
    (tmp_path / "run" / ".model-left").mkdir()
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "tabular", "name": "small", "trees": 30, **told})
    TRAINERS.make("tabular", recipe, Run(tmp_path / "run", lambda values, step: None, said.append, resume=True))
    assert trained.path.read_bytes() == before
    assert any("trained again" in line for line in said)
    assert not (tmp_path / "run" / ".model-left").exists()


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_boosting_is_broken_off_in_the_middle(tmp_path: Path, kind: str) -> None:
    def enough(values: Mapping[str, float], step: int) -> None:
        if step == 3:
            raise Pruned

    recipe = read_recipe(
        None, {"trainer": "tabular", "data": str(orders(tmp_path / "a.csv")), "target": "outcome", "model": kind}
    )
    (tmp_path / "run").mkdir()
    with pytest.raises(Pruned):
        TRAINERS.make("tabular", recipe, Run(tmp_path / "run", enough, lambda text: None))
    assert not list((tmp_path / "run").iterdir())


def test_columns_of_every_sort_are_learned(tmp_path: Path) -> None:
    dice = np.random.default_rng(2)
    rows = ['"a, b",x y [0]<,flag,rare,same,target']
    for number in range(60):
        rows.append(f"{dice.normal()},{'' if number % 2 else 7.5},{str(number % 3 == 0).lower()},"
                    f"{'once' if number == 5 else ''},1,{'even' if number % 2 == 0 else 'odd'}")  # fmt: skip
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
    for kind in ("forest", "xgboost", "lightgbm"):
        trained, _, said = carried(tmp_path / kind, data=str(tmp_path / "rows.csv"), model=kind, rounds=20)
        assert kind == "forest" or trained.metrics["accuracy"] == 1.0, "the gaps tell it"
        assert not any("ONNX" in line for line in said), said


def test_rows_without_a_group_stand_alone_whatever_the_column_holds(tmp_path: Path) -> None:
    lines = [f"{row},{'' if row % 2 else row // 6},{'xy'[row // 3 % 2]}" for row in range(120)]
    (tmp_path / "rows.csv").write_text("a,customer,target\n" + "\n".join(lines) + "\n")
    options = read_recipe(None, {"trainer": "tabular", "data": "x", "group": "customer"}).options
    rows = read_rows(str(tmp_path / "rows.csv"), options, 0)
    gaps = [int((part.x[:, 0] % 2 == 1).sum()) for part in (rows.train, rows.stop, rows.val)]
    assert sum(gaps) == 60
    assert min(gaps) > 3, "a gap is no customer, to whom all such rows belong"


def test_rows_that_judge_and_are_among_the_others_are_counted(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    (tmp_path / "rows.csv").write_text(
        "a,target\n" + "".join(f"{dice.integers(40)},{'xy'[row % 2]}\n" for row in range(90))
    )
    options = read_recipe(None, {"trainer": "tabular", "data": "x"}).options
    rows = read_rows(str(tmp_path / "rows.csv"), options, 0)
    known, stop = (set(part.x[:, 0].tolist()) for part in (rows.train, rows.stop))
    judged = rows.val.x[:, 0].tolist()
    assert rows.shared == sum(one in known | stop for one in judged)
    assert any(one in stop - known for one in judged), "linear and forest learn from these rows too"
