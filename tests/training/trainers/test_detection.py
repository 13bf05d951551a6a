"""Detectors of the DETR line: small ones that learn streets, are killed, go on, and are run and evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughline
from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.testing.trainers import TrainerConformance
from throughline.testing.world import World
from throughline.testing.world.folder import save_picture
from throughline.testing.world.yolo import write_yolo
from throughline.training.recipe import read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"width": 0.1, "queries": 30, "layers": 2, "imgsz": "64x96", "batch": 4, "ema": 0.8}


class Killed(BaseException):
    """The process ends here, as far as the run can tell."""


class TestDetection(TrainerConformance):
    """The suite, and what a detector is besides."""

    trainer = "detection"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "street"
        if not data.exists():
            write_yolo(World(3, 192, 128), data, train=12, val=4)
        return {"data": str(data / "data.yaml"), "epochs": 8, "lr": 2e-3, **SMALL}

    def test_it_learns_and_its_file_takes_any_number_of_pictures(self) -> None:
        run = self.carried()
        assert set(run.trained.metrics) == {"mAP50-95"}
        first, last = run.logged[0][0]["train/loss"], run.logged[-1][0]["train/loss"]
        assert last < first
        about = read_artifact(run.trained.path).passport
        assert (about.decoder, about.imgsz, about.task) == ("detr", (64, 96), "detect")
        assert [spec.shape[0] for spec in (*about.inputs, *about.outputs)] == ["batch"] * 3
        proven = {check.name: check for check in about.evidence[0].checks}
        assert proven["matched outputs: unmatched"].passed

    def test_evaluate_finds_what_the_run_measured(self) -> None:
        run = self.carried()
        report = throughline.evaluate(run.trained.path, data=run.recipe.data, split="val")
        assert report.figures["mAP50-95"].value == pytest.approx(run.trained.metrics["mAP50-95"], abs=1e-4)

    def test_a_run_that_was_killed_goes_on_to_the_same_bytes(self) -> None:
        from throughline.training.loop import loop

        whole, folder = self.carried(), Path(self._room.name) / "killed"
        folder.mkdir()

        def killed_in(epoch: int) -> Callable[[Mapping[str, float], int], None]:
            def kill(values: Mapping[str, float], step: int) -> None:
                if step == epoch:
                    raise Killed

            return kill

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(loop.SECONDS, "between epochs", 0.0)
            for epoch, resume in ((6, False), (8, True)):  # at 8 all is learned, and only the file is missing
                with pytest.raises(Killed):
                    carried(self.recipe().values(), Run(folder, killed_in(epoch), print, resume=resume))
        assert (folder / loop.BEST).read_bytes() == (whole.folder / loop.BEST).read_bytes()

    def test_it_goes_on_from_the_weights_of_a_folder(self) -> None:
        from throughline.training.trainers._detr_networks import network_from
        from throughline.training.trainers._offline import offline

        run = self.carried()
        labels = read_artifact(run.trained.path).labels
        seen = torch.rand(2, 3, 64, 96)
        with offline(0) as transformers:
            again = network_from(str(run.folder / "weights"), (64, 96), labels, transformers).eval()
            other = network_from(str(run.folder / "weights"), (96, 96), (*labels, "kite"), transformers).eval()
        with torch.inference_mode():
            said = again(seen)
            assert other(torch.rand(1, 3, 96, 96))["logits"].shape == (1, 30, len(labels) + 1)
        import onnxruntime

        session = onnxruntime.InferenceSession(run.trained.path)
        for name, value in zip(("logits", "pred_boxes"), session.run(None, {"images": seen.numpy()}), strict=True):
            surest = said["logits"].amax(-1).argmax(1)
            mine = said[name][torch.arange(2), surest].numpy()
            assert np.abs(value - mine[:, None]).max(axis=2).min(axis=1) == pytest.approx([0, 0], abs=1e-3)

    def test_weights_that_see_otherwise_or_are_something_else_are_refused(self, tmp_path: Path) -> None:
        weights = self.carried().folder / "weights"
        for name, change, said in (
            ("preprocessor_config.json", {"do_normalize": True}, "by mean and deviation"),
            ("config.json", {"model_type": "resnet"}, "is a 'resnet'"),
        ):
            folder = tmp_path / name
            folder.mkdir()
            for file in weights.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
            told = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps({**told, **change}))
            with pytest.raises(InputError, match=said):
                carried({**self.recipe().values(), "weights": str(folder)}, Run(tmp_path, lambda *_: None, print))


def carried(told: Mapping[str, Any], run: Run) -> Trained:
    trained: Trained = TRAINERS.make("detection", read_recipe(None, told), run)
    return trained


def test_d_fine_learns_too() -> None:
    from throughline.training.trainers._detr_networks import new_network
    from throughline.training.trainers._offline import offline

    told = {"trainer": "detection", "data": "x", "model": "d_fine", **SMALL}
    with offline(0) as transformers:
        network = new_network(read_recipe(None, told).options, (64, 96), ("car", "dog"), transformers).train()
        shown, boxes, kinds = torch.rand(2, 3, 64, 96), torch.zeros(2, 2, 4), torch.tensor([[0, 1], [1, -1]])
        boxes[:, :, 2:] = torch.tensor([40.0, 30.0])
        network.loss(network(shown, boxes, kinds), boxes, kinds).backward()
        told = [one.grad is not None for name, one in network.named_parameters() if "backbone" in name]
        assert told
        assert all(told)
        assert network.eval()(shown)["logits"].shape == (2, 30, 2)


def test_class_folders_hold_no_boxes(tmp_path: Path) -> None:
    for kind in ("a", "b"):
        (tmp_path / "kinds" / kind).mkdir(parents=True)
        for number in range(3):
            save_picture(tmp_path / "kinds" / kind / f"{number}.png", np.full((64, 64, 3), number, np.uint8))
    with pytest.raises(InputError, match="holds class folders"):
        carried({"trainer": "detection", "data": str(tmp_path / "kinds")}, Run(tmp_path, lambda *_: None, print))
