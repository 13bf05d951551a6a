"""Classes of pictures: a small network that learns folders of shapes, is killed, goes on, and is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughline
from throughline.contracts.errors import InputError
from throughline.models import passport as passports
from throughline.testing.trainers import TrainerConformance
from throughline.testing.world import World
from throughline.testing.world.folder import save_picture
from throughline.testing.world.yolo import write_yolo
from throughline.training.loop.pictures import PictureLesson, train_and_val
from throughline.training.recipe import read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = ("bars", "checks", "stripes")
SMALL = {"width": 0.125, "imgsz": "32", "batch": 8, "lr": 2e-3, "ema": 0.8, "scale": 0.1, "colour": 0.1}


class Killed(BaseException):
    """The process ends here, as far as the run can tell."""


def write_shapes(root: Path, train: int = 48, val: int = 12) -> Path:
    """Patterns in any colours, at any place, with noise: the class is in the pattern alone."""
    dice = np.random.default_rng(1)
    rows, columns = np.mgrid[:32, :32]
    for split, count in (("train", train), ("val", val)):
        for kind in SHAPES:
            folder = root / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                along, across = rows + dice.integers(8), columns + dice.integers(8)
                pattern = {"bars": across, "stripes": along, "checks": along // 4 + across // 4}[kind]
                on = (pattern // (1 if kind == "checks" else 4)) % 2
                colours = dice.uniform(0, 255, (2, 3))
                colours[1] = (colours[0] + 128) % 256
                picture = colours[on] + dice.normal(0, 12, (32, 32, 3))
                save_picture(folder / f"{number}.png", np.clip(picture, 0, 255).astype(np.uint8))
    return root


class TestImageClassification(TrainerConformance):
    """The suite, and what a classifier of pictures is besides."""

    trainer = "image_classification"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "shapes"
        return {"data": str(data if data.exists() else write_shapes(data)), "epochs": 8, **SMALL}

    def test_it_learns_what_pictures_show_and_says_how_sure_it_may_be(self) -> None:
        run = self.carried()
        trained = run.trained
        assert set(trained.metrics) == {"accuracy", "f1", "calibration_error"}
        assert trained.baseline == {"accuracy": pytest.approx(1 / 3), "f1": pytest.approx(1 / 6)}
        assert trained.metrics["accuracy"] > 0.8
        assert {"val/accuracy", "val/f1", "val/calibration_error"} <= set(run.logged[-1][0])

    def test_evaluate_finds_what_the_run_measured(self) -> None:
        run = self.carried()
        report = throughline.evaluate(run.trained.path, data=run.recipe.data, split="val")
        assert report.figures["accuracy"].value == pytest.approx(run.trained.metrics["accuracy"])

    def test_a_run_that_was_killed_goes_on_to_the_same_bytes(self) -> None:
        from throughline.training.loop import loop

        whole, folder = self.carried(), Path(self._room.name) / "killed"
        folder.mkdir()

        def killed_in(epoch: int) -> Callable[[Mapping[str, float], int], None]:
            def kill(values: Mapping[str, float], step: int) -> None:
                steps.append(step)
                if step == epoch:
                    raise Killed

            return kill

        steps: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(loop.SECONDS, "between epochs", 0.0)
            for epoch, resume in ((6, False), (8, True)):  # at 8 all is learned, and only the file is missing
                with pytest.raises(Killed):
                    carried(self.recipe().values(), Run(folder, killed_in(epoch), print, resume=resume))
        assert steps == [1, 2, 3, 4, 5, 6, 6, 7, 8]
        assert (folder / loop.BEST).read_bytes() == (whole.folder / loop.BEST).read_bytes()

    def test_it_goes_on_from_the_weights_of_a_folder_however_they_see_pictures(self) -> None:
        from throughline.training.trainers._image_networks import network_from, save_network
        from throughline.training.trainers._offline import offline

        folder = self.carried().folder / "weights"
        with offline(0) as transformers:
            one = network_from(str(folder), SHAPES, transformers)
            other_sight = Path(self._room.name) / "other-sight"
            one.mean, one.std = [0.5] * 3, [0.5] * 3
            save_network(one, other_sight)
            one = network_from(str(folder), SHAPES, transformers).eval()
            other = network_from(str(other_sight), SHAPES, transformers).eval()
            seen = torch.rand(2, 3, 32, 32)
            mean, std = (torch.tensor(part)[:, None, None] for part in (one.mean, one.std))
            with torch.inference_mode():
                assert torch.allclose(other((seen * 0.5 + 0.5 - mean) / std), one(seen), atol=1e-5)
            four = network_from(str(folder), (*SHAPES, "dots"), transformers).eval()
            assert four(seen).shape == (2, 4)

    @pytest.mark.parametrize("family", ["mobilenet_v2", "convnextv2"])
    def test_every_family_learns(self, family: str) -> None:
        from throughline.training.trainers._image_networks import held_to_size, new_network
        from throughline.training.trainers._offline import offline

        with offline(0) as transformers:
            network = held_to_size(new_network(family, 0.25, SHAPES, transformers), (64, 64), SHAPES).train()
            torch.nn.functional.cross_entropy(network(torch.rand(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0])).backward()
        assert all(one.grad is not None for one in network.parameters())


def carried(told: Mapping[str, Any], run: Run) -> Trained:
    trained: Trained = TRAINERS.make("image_classification", read_recipe(None, told), run)
    return trained


def test_a_wide_picture_is_learned_as_it_will_be_seen(tmp_path: Path) -> None:
    for kind in ("left", "right"):
        (tmp_path / "wide" / kind).mkdir(parents=True)
        for number in range(3):
            picture = np.full((40, 120, 3), 60 + number, np.uint8)
            picture[:, slice(0, 60) if kind == "left" else slice(60, 120)] = 200
            save_picture(tmp_path / "wide" / kind / f"{number}.png", picture)
    told = {"trainer": "image_classification", "data": "x", "imgsz": "64", "flip": 0, "scale": 0, "colour": 0}
    options = read_recipe(None, told).options
    train, val, sha256 = train_and_val(str(tmp_path / "wide"), 0.4, 0)
    same = PictureLesson((val, val, sha256), options, 0, "classify", 32)
    learned = same.batch(range(len(val)), 0)[0].numpy()
    judged = same._val_batch(0)[0]
    inside = np.abs(learned - judged)[:, :, 1:-1, 1:-1]  # the outermost pixels are mixed with what is around
    assert inside.max() < 0.05
    assert len(train) + len(val) == 6


def test_boxes_are_not_classes(tmp_path: Path) -> None:
    data = write_yolo(World(3, 160, 96), tmp_path / "street", train=2, val=1)
    with pytest.raises(InputError, match="its truth is for 'detect'"):
        carried({"trainer": "image_classification", "data": str(data)}, Run(tmp_path, lambda *_: None, print))


def test_weights_that_do_not_say_how_they_see_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    (tmp_path / "net" / "model.safetensors").write_bytes(b"")
    told = {"trainer": "image_classification", "data": str(write_shapes(tmp_path / "shapes", 2, 1))}
    with pytest.raises(InputError, match=r"no classifier of pictures"):
        carried({**told, "weights": str(tmp_path / "net")}, Run(tmp_path, lambda *_: None, print))
    assert passports.read(tmp_path / "model.onnx") is None


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("model.safetensors", "\xff" * 50, "no classifier of pictures"),
        ("config.json", '{"model_type": "resnet", "hidden_sizes": "many"}', "no classifier of pictures"),
        (
            "preprocessor_config.json",
            '{"rescale_factor": 0, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}',
            "division",
        ),
        ("preprocessor_config.json", '{"image_mean": [0, 0, 0], "image_std": [NaN, 1, 1]}', "three means"),
        ("preprocessor_config.json", '{"image_mean": [0, Infinity, 0], "image_std": [1, 1, 1]}', "three means"),
    ],
)
def test_a_folder_that_cannot_be_opened_is_refused(tmp_path: Path, file: str, content: str, says: str) -> None:
    from throughline.training.trainers._image_networks import network_from, new_network, save_network
    from throughline.training.trainers._offline import offline

    with offline(0) as transformers:
        save_network(new_network("resnet", 0.125, SHAPES, transformers), tmp_path)
        (tmp_path / file).write_text(content)
        with pytest.raises(InputError, match=says):
            network_from(str(tmp_path), SHAPES, transformers)
