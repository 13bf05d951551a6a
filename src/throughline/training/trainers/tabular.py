"""Models of tables: linear, a forest, XGBoost or LightGBM, and before any of them what they have to be better than.

On a few hundred rows a straight line is hard to beat, and now and then so is the most frequent class. Both are fitted
first and measured on the same rows; a model that is no better says so, loudly.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.artifacts import Step
from throughline.contracts.errors import ThroughlineError
from throughline.files import put_in_place
from throughline.plugins import Plugin
from throughline.settings import setting
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained

_PROVEN_ON: Final = 512
"""Rows on which the ONNX graph is held to the model."""


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What ``tabular`` can be told."""

    target: str = setting("target", "the column to tell", "the name of a column", pattern=r"(?s).+")
    task: str = setting(
        "auto", "whether it tells classes apart or estimates a number", "", choices=("auto", "classify", "regress")
    )
    model: str = setting("lightgbm", "what learns", "", choices=("linear", "forest", "xgboost", "lightgbm"))
    group: str = setting("", "the column of what stays in one split: a customer, a day", "a column, or nothing")
    holdout: float = setting(0.2, "the share of rows that judge", "0.01 to 0.5", 0.01, 0.5)
    categories: int = setting(64, "how many texts of a column are told apart", "1 to 10000", 1, 10_000)
    rounds: int = setting(500, "the most rounds of boosting", "1 to 100000", 1, 100_000)
    patience: int = setting(30, "end after so many rounds without a better one; 0 is never", "0 to 10000", 0, 10_000)
    lr: float = setting(0.1, "how much of each round's tree counts", "0.0001 to 1", 1e-4, 1)
    depth: int = setting(5, "how deep trees are; 0 is any", "0 to 64", 0, 64)
    trees: int = setting(200, "trees of a forest", "1 to 100000", 1, 100_000)
    penalty: float = setting(1.0, "how much large weights cost: L2, of all but the forest", "1e-6 to 1e6", 1e-6, 1e6)


def train(recipe: Recipe, run: Run) -> Trained:
    """Fit a table."""
    from throughline.models.artifact import read_artifact
    from throughline.models.chain import drafting
    from throughline.models.loading.estimators import open_estimator
    from throughline.training.trainers._estimators import ENDINGS, fitted, scores, write
    from throughline.training.trainers._rows import read_rows, write_rows

    options: Options = recipe.options
    rows = read_rows(recipe.data, options, recipe.seed)
    if run.device != "cpu":
        run.say(f"{recipe.data} is learned on the CPU: on a GPU the bytes would not be the same ones again")
    if run.resume:
        for left in run.folder.glob(".model-*"):
            shutil.rmtree(left)  # what a kill left of a file that was being made
        run.say("a fit of a table keeps nothing half-done: it is trained again from its recipe, to the same bytes")
    metric, higher = ("accuracy", True) if rows.classifies else ("rmse", False)
    _say_rows(rows, bool(options.group), run)
    baselines, baseline = _baselines(rows, options, metric, higher, run)
    last = 0

    def tell(values: Mapping[str, float], step: int) -> None:
        nonlocal last
        run.log(values, step)
        last = step

    estimator = fitted(rows, options, recipe.seed, tell)
    path = run.folder / f"model{ENDINGS[options.model]}"
    about: dict[str, Any] = {"labels": rows.labels, "task": "classify"} if rows.classifies else {"task": "regress"}
    learned = rows.columns.step(
        target=options.target, model=options.model, baselines=baselines,
        rows={"train": len(rows.train.y), "stop": len(rows.stop.y), "val": len(rows.val.y)},
    )  # fmt: skip
    with drafting(path) as folder:
        draft = folder / path.name
        write(estimator, draft)
        opened = open_estimator(draft, read_artifact(draft).format)  # what ships is what is measured
        metrics = scores(opened.answers(rows.val.x), rows.val, rows.labels)
        run.log({f"val/{name}": value for name, value in metrics.items()}, last + 1)
        put_in_place(draft, path)
    write_rows(rows, run.folder / "held-out.parquet")
    _judge(metrics, baseline, baselines, metric, higher, run)
    _as_onnx(path, rows, about, learned, run)
    return Trained(
        path, metrics, metric, higher, rows.table.sha256,
        about=about, baseline=baseline, steps=(learned,),
    )  # fmt: skip


def _say_rows(rows: Any, grouped: bool, run: Run) -> None:
    told = f"classes {', '.join(rows.labels[:6])}{'...' if len(rows.labels) > 6 else ''}" if rows.labels else "a number"
    run.say(
        f"{len(rows.train.y)} rows to learn from, {len(rows.stop.y)} to say when to stop, {len(rows.val.y)} to judge; "
        f"the target '{rows.table.target}' is {told}"
    )
    if rows.shared:
        fix = "" if grouped else "; where that is no chance, name what they belong to: group"
        run.say(f"{rows.shared} of the rows that judge are, but for their target, also learned from{fix}")
    for name, count in rows.unknown.items():
        run.say(f"'{name}': {count} of the rows that judge hold a text that was not learned; it counts as missing")


def _baselines(
    rows: Any, options: Options, metric: str, higher: bool, run: Run
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """What the plainest things are worth by name, and the best of them."""
    from throughline.models.loading.estimators import Estimator
    from throughline.training.trainers._estimators import linear, plainest, scores

    first = "most frequent class" if rows.classifies else "mean"
    made = {first: plainest(rows)}
    if options.model != "linear":
        made["linear"] = linear(rows, 1.0)
    classes = tuple(range(len(rows.labels)))
    found = {
        name: scores(Estimator(model, rows.val.x.shape[1], classes).answers(rows.val.x), rows.val, rows.labels)
        for name, model in made.items()
    }
    run.log({f"baseline/{name}/{metric}": values[metric] for name, values in found.items()}, 0)
    run.say(
        "to be better than: " + ", ".join(f"{name} {metric} {values[metric]:.4f}" for name, values in found.items())
    )
    best = max(found.values(), key=lambda values: values[metric] * (1 if higher else -1))
    return found, best


def _judge(
    metrics: Mapping[str, float], baseline: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]],
    metric: str, higher: bool, run: Run,
) -> None:  # fmt: skip
    gain = (metrics[metric] - baseline[metric]) * (1 if higher else -1)
    if gain <= 0:
        name = next(name for name, values in baselines.items() if values is baseline)
        how = "no better than" if gain == 0 else "WORSE than"
        run.say(
            f"WARNING: this model is {how} the plainest thing that could do the job: {metric} {metrics[metric]:.4f}, "
            f"and '{name}' has {baseline[metric]:.4f}. Do not ship it for its own sake."
        )


def _as_onnx(path: Path, rows: Any, about: Mapping[str, Any], learned: Step, run: Run) -> None:
    """Write the model as ONNX beside its own file, proven on the rows that judge; or say why it is not there."""
    import dataclasses

    from throughline.evaluation.verification import verify_models
    from throughline.models import passport as passports
    from throughline.models.artifact import read_artifact
    from throughline.models.chain import Link, drafting, follow, settle

    target = path.with_suffix(".onnx")
    target.unlink(missing_ok=True)
    passports.path_of(target).unlink(missing_ok=True)
    native = read_artifact(path)
    known = dataclasses.replace(
        native.passport, steps=(learned,), sha256=passports.digest(path), **{"labels": rows.labels, **about}
    )
    native = dataclasses.replace(native, passport=known)
    try:
        with drafting(target) as folder:
            draft = follow(native, [Link("classical", {"trust": True})], folder, path.stem)
            proof = verify_models(
                native, draft.artifact, arrays={"X": rows.val.x[:_PROVEN_ON]}, steps=draft.steps, trust=True, part=False
            )
            if not proof.verdict.passed:
                failed = next(check for check in proof.verdict.checks if not check.passed)
                run.say(f"no ONNX beside it: it does not answer alike ({failed.name} is {failed.observed})")
                return
            settle(draft, target, native, [proof.verdict])
    except ThroughlineError as error:
        run.say(f"no ONNX beside it: {error.problem}")


PLUGIN = Plugin(
    make=train,
    summary="rows of a table: linear, forest, XGBoost or LightGBM, held to a baseline",
    needs=("sklearn", "skops", "xgboost", "lightgbm", "skl2onnx", "onnxmltools", "pyarrow"),
    extra="train",
    facts={"options": Options},
)
