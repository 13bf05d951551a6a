"""The loop with rows, with class folders and with boxes; what it refuses; what it gives back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughline
from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.errors import InputError, Unavailable
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.testing.trainers import TrainerConformance
from throughline.testing.world import LABELS, World
from throughline.testing.world.folder import save_picture
from throughline.testing.world.yolo import write_yolo
from throughline.training.issuing import issue_passport
from throughline.training.loop.beginning import begin
from throughline.training.loop.picture_store import varied
from throughline.training.recipe import read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS

torch = pytest.importorskip("torch")


def small_rows(path: Path, rows: int = 80, **more: Any) -> Path:
    dice = np.random.default_rng(3)
    x = dice.standard_normal((rows, 6)).astype(np.float32)
    np.savez(path, **{"x": x, "y": (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5), **more})
    return path


def carried(folder: Path, **told: Any) -> tuple[Trained, list[tuple[Mapping[str, float], int]], list[str]]:
    folder.mkdir(exist_ok=True)
    logged: list[tuple[Mapping[str, float], int]] = []
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "torch_loop", "name": "small", **told})
    run = Run(folder, lambda values, step: logged.append((dict(values), step)), said.append)
    return TRAINERS.make("torch_loop", recipe, run), logged, said


class TestTorchLoop(TrainerConformance):
    trainer = "torch_loop"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "rows.npz"
        return {
            "data": str(data if data.exists() else small_rows(data)), "model": "networks_that_learn:perceptron",
            "epochs": 2, "lr": 0.02,
        }  # fmt: skip

    def test_the_file_answers_as_the_network_was_measured(self) -> None:
        run = self.carried()
        with np.load(run.recipe.data) as held, open_model(run.trained.path) as session:
            answers = session.predict({session.inputs[0].name: held["x"]})
        assert next(iter(answers.values())).shape == (80, 3)
        assert run.trained.evidence[0].passed
        assert run.trained.baseline["accuracy"] < 1


def test_values_are_learned_too_and_the_mean_is_the_baseline(tmp_path: Path) -> None:
    dice = np.random.default_rng(3)
    x = dice.standard_normal((80, 6)).astype(np.float32)
    y = (x @ np.arange(6) + 1).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x[:60], y=y[:60], x_val=x[60:], y_val=y[60:])
    trained, logged, said = carried(
        tmp_path / "run", data=tmp_path / "rows.npz", model="networks_that_learn:line", epochs=40, lr=0.5, ema=0.9,
        weight_decay=0.0, validate_every=40,
    )  # fmt: skip
    assert trained.metric == "rmse"
    assert not trained.higher_is_better
    assert trained.metrics["rmse"] < 0.1 * trained.baseline["rmse"]
    assert trained.metrics["r2"] > 0.99
    assert [step for _, step in logged] == list(range(1, 41))
    assert [step for values, step in logged if "val/rmse" in values] == [40]
    assert logged[0][0]["train/loss"] > logged[-1][0]["train/loss"]
    assert said[-1] == "40 epochs are done; the best weights are those of epoch 40"


def test_it_ends_early_once_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    rows = small_rows(tmp_path / "rows.npz")
    told = {"data": rows, "model": "networks_that_learn:perceptron", "epochs": 50, "lr": 0.0, "patience": 2}
    trained, logged, said = carried(tmp_path / "run", **told)
    assert len(logged) == 3
    assert said[-1] == "no better for 2 validations; the best weights are those of epoch 1"
    assert trained.metrics["accuracy"] == logged[0][0]["val/accuracy"]


def test_preparing_batches_in_other_threads_changes_no_byte(tmp_path: Path) -> None:
    told = {"data": small_rows(tmp_path / "rows.npz"), "model": "networks_that_learn:perceptron", "epochs": 2}
    alone, aided = (carried(tmp_path / str(workers), workers=workers, **told)[0] for workers in (0, 2))
    assert alone.path.read_bytes() == aided.path.read_bytes()
    assert alone.metrics == aided.metrics


@pytest.fixture(scope="module")
def small_streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures to learn from and four to be judged by."""
    return write_yolo(World(31, 160, 96), tmp_path_factory.mktemp("data") / "streets", 12, 4)


@pytest.mark.usefixtures("one_core")
def test_the_bundled_detector_goes_on_from_its_weights_and_is_read_by_its_decoder(
    tmp_path: Path, small_streets: Path
) -> None:
    told = {"data": small_streets, "imgsz": "160", "epochs": 1, "weights": "bundled", "lr": 0.0001, "scale": 0.1}
    trained, _, _ = carried(tmp_path / "run", **told)
    assert trained.metric == "mAP50-95"
    assert trained.about["labels"] == LABELS
    assert (trained.about["decoder"], trained.about["imgsz"]) == ("yolo", (96, 160))
    artifact = issue_passport(read_recipe(None, {"trainer": "torch_loop", **told}), trained, {})
    report = throughline.evaluate(artifact.path, data=str(small_streets), split="val", imgsz=160)
    assert report.figures["mAP50-95"].value == pytest.approx(trained.metrics["mAP50-95"], abs=0.02)
    assert artifact.inputs[0].shape == ("batch", 3, "height", "width")


def test_other_classes_take_over_what_fits_and_a_part_is_held_out(tmp_path: Path, small_streets: Path) -> None:
    root = tmp_path / "two"
    shutil.copytree(small_streets.parent, root)
    for labels in (root / "labels").rglob("*.txt"):
        lines = [line.split(" ", 1) for line in labels.read_text().splitlines()]
        labels.write_text("".join(f"{int(kind) % 2} {rest}\n" for kind, rest in lines))
    (root / "data.yaml").write_text("train: images/train\nnames:\n  0: even\n  1: odd\n")
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "torch_loop", "data": root, "imgsz": "96", "weights": "bundled"})
    begun = begin(recipe, Run(tmp_path, lambda values, step: None, said.append))
    assert begun.lesson.interface().about["labels"] == ("even", "odd")
    assert begun.lesson.size < 12
    assert said[0].startswith("begins with")
    assert "random: heads.0.score.2.weight" in said[0]
    assert (begun.parent, begun.licence) == (passports.digest(WEIGHTS), "Apache-2.0")
    images, boxes, kinds = begun.lesson.batch([0, 1, 2], 0)
    assert images.shape == (3, 3, 64, 96)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert set(kinds[kinds >= 0].tolist()) <= {0, 1}
    inside = boxes[kinds >= 0]
    assert (inside[:, :2] < inside[:, 2:]).all()
    again = begun.lesson.batch([0, 1, 2], 0)
    other = begun.lesson.batch([0, 1, 2], 1)
    assert all(torch.equal(one, same) for one, same in zip((images, boxes, kinds), again, strict=True))
    assert not torch.equal(images, other[0])


def test_class_folders_are_learned_by_any_network(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    for split, count in (("train", 8), ("val", 4)):
        for kind, colour in (("dark", 40), ("light", 200)):
            folder = tmp_path / "tones" / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                picture = np.clip(dice.normal(colour, 20, (40, 40, 3)), 0, 255).astype(np.uint8)
                save_picture(folder / f"{number}.png", picture)
    trained, _, _ = carried(
        tmp_path / "run", data=tmp_path / "tones", model="networks_that_learn:small_eye", imgsz="32", epochs=12,
        batch=4, lr=0.02, ema=0.5, colour=0.05,
    )  # fmt: skip
    assert trained.metrics == {"accuracy": 1.0}
    assert trained.baseline == {"accuracy": 0.5}
    assert trained.about["labels"] == ("dark", "light")
    artifact = issue_passport(read_recipe(None, {"trainer": "torch_loop", "data": "x"}), trained, {})
    assert (
        throughline.evaluate(artifact.path, data=str(tmp_path / "tones"), split="val").figures["accuracy"].value == 1.0
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "networks_that_learn:frozen"}, "has nothing that learns"),
        ({"model": "networks_that_learn:none"}, "has no 'none'"),
        ({"model": "bundled"}, "holds rows"),
        ({"weights": "none.safetensors"}, "does not exist"),
        ({"weights": "bundled"}, "fits Sequential"),
        ({"task": "classify"}, "classes are whole numbers"),
    ],
)
def test_what_cannot_be_learned_is_said(tmp_path: Path, change: Mapping[str, Any], says: str) -> None:
    rows = small_rows(tmp_path / "rows.npz", **({"y": np.zeros(80)} if "task" in change else {}))
    with pytest.raises(InputError, match=says):
        carried(tmp_path / "run", **{"data": rows, "model": "networks_that_learn:perceptron", "epochs": 1, **change})
    assert not (tmp_path / "run" / "model.onnx").exists()


def test_a_gpu_that_is_not_there_is_not_replaced_by_a_processor(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    recipe = read_recipe(None, {"trainer": "torch_loop", "data": small_rows(tmp_path / "rows.npz")})
    with pytest.raises(Unavailable, match="PyTorch sees 0 GPUs here"):
        TRAINERS.make("torch_loop", recipe, Run(tmp_path, lambda values, step: None, print, device="gpu"))


def test_a_picture_is_varied_together_with_its_boxes() -> None:
    picture = np.full((60, 100, 3), 90, np.uint8)
    picture[20:40, 30:50] = 250
    shot = picture, np.array([[30, 20, 50, 40]], np.float32), np.array([4])
    seen = 0
    for seed in range(40):
        placed, boxes, kinds = varied(shot, (96, 160), np.random.default_rng(seed), flip=0.5, scale=0.5)
        assert placed.shape == (96, 160, 3)
        bright = np.argwhere(placed[..., 0] > 170)
        if len(boxes):
            seen += 1
            assert kinds.tolist() == [4]
            top, left, bottom, right = *bright.min(axis=0), *(bright.max(axis=0) + 1)
            assert boxes[0] == pytest.approx([left, top, right, bottom], abs=1.1)
    assert seen > 30


def test_pictures_that_nobody_has_labelled_are_refused(tmp_path: Path, small_streets: Path) -> None:
    recipe = read_recipe(None, {"trainer": "torch_loop", "data": small_streets.parent / "images" / "train"})
    with pytest.raises(InputError, match="nobody has said what is on"):
        begin(recipe, Run(tmp_path, lambda values, step: None, print))


@pytest.mark.usefixtures("one_core")
def test_a_teacher_says_what_is_on_pictures_that_nobody_labelled(tmp_path: Path) -> None:
    write_yolo(World(8, 320, 192), tmp_path / "street", train=6, val=2)
    shutil.rmtree(tmp_path / "street" / "labels" / "train")
    said: list[str] = []
    recipe = read_recipe(
        None,
        {
            "trainer": "torch_loop", "data": str(tmp_path / "street" / "data.yaml"), "teacher": str(DETECTOR),
            "width": 0.5, "imgsz": "192x320", "epochs": 1, "batch": 3,
        },
    )  # fmt: skip
    (tmp_path / "run").mkdir()
    trained = TRAINERS.make("torch_loop", recipe, Run(tmp_path / "run", lambda *_: None, said.append))
    assert trained.path.stat().st_size < DETECTOR.stat().st_size / 2
    used = trained.steps[0].options
    assert used["teacher"] == {"name": DETECTOR.name, "sha256": read_artifact(DETECTOR).sha256}
    assert any("detector.onnx says what is on 6 pictures" in line for line in said)
    assert used["validation"]["pictures"] == 2


@pytest.mark.parametrize(
    ("change", "says"), [({"teacher": str(DETECTOR)}, "a teacher sees pictures"), ({"width": 0.5}, "width: 0.5")]
)
def test_what_would_do_nothing_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    rows = small_rows(tmp_path / "rows.npz")
    with pytest.raises(InputError, match=says):
        carried(tmp_path / "run", **{"data": rows, "model": "networks_that_learn:perceptron", "epochs": 1, **change})
