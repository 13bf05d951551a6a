"""Classes of texts: a small network that is grown from messages alone, broken off, and gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.models import passport as passports
from throughline.models.session import open_model
from throughline.testing.messages import MESSAGE_LABELS, messages, write_messages
from throughline.testing.trainers import TrainerConformance
from throughline.training.loop.surroundings import seeded
from throughline.training.recipe import Recipe, read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS
from throughline.training.trainers._offline import offline
from throughline.training.trainers._texts import read_texts
from throughline.training.trainers.text import learned

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SMALL = {"width": 32, "layers": 1, "heads": 2, "vocabulary": 400, "longest": 32, "batch": 16, "lr": 5e-3}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads of a network this small wait for one another, where other processes want the cores too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


class Killed(BaseException):
    """The process ends here, as far as the run can tell."""


class TestText(TrainerConformance):
    """The suite, and what a text classifier is besides."""

    trainer = "text"

    def told(self, folder: Path) -> Mapping[str, Any]:
        path = folder / "messages.csv"
        if not path.exists():
            write_messages(path, 240)
        return {"data": str(path), "epochs": 4, **SMALL}

    def test_it_learns_what_the_texts_say(self) -> None:
        trained = self.carried().trained
        assert trained.metrics["accuracy"] > trained.baseline["accuracy"] + 0.3
        assert trained.metrics["f1"] > trained.baseline["f1"] + 0.4
        logged = self.carried().logged
        assert logged[0][1] == 0
        assert set(logged[0][0]) == {"word counts/accuracy", "word counts/f1"}
        assert [step for values, step in logged if "val/f1" in values] == [1, 2, 3, 4]
        assert next(name for name in logged[1][0] if name.startswith("val/")) == "val/f1", "what a search goes by"
        assert max(values["val/f1"] for values, _ in logged[1:]) == pytest.approx(trained.metrics["f1"])

    def test_its_file_and_its_tokenizer_are_all_that_an_answer_needs(self) -> None:
        from tokenizers import Tokenizer

        run = self.carried()
        about = passports.read(run.trained.path)
        assert about is not None
        assert about.labels == MESSAGE_LABELS
        assert list(about.companions) == ["tokenizer.json"]
        assert [one.name for one in about.inputs] == ["input_ids", "attention_mask"]
        assert [type(axis) for one in about.inputs for axis in one.shape] == [str] * 4, "batch and length stay open"
        told = messages(60, seed=5)
        cut = Tokenizer.from_file(str(run.folder / "tokenizer.json")).encode_batch([text for text, _ in told])
        feeds = {"input_ids": [one.ids for one in cut], "attention_mask": [one.attention_mask for one in cut]}
        with open_model(run.trained.path) as session:
            logits = session.predict({name: np.array(rows, np.int64) for name, rows in feeds.items()})["logits"]
        said = [MESSAGE_LABELS[number] for number in logits.argmax(axis=1)]
        right = np.mean([mine == true for mine, (_, true) in zip(said, told, strict=True)])
        assert right > 0.6
        assert (run.folder / "weights" / "model.safetensors").is_file()

    def test_a_run_that_was_killed_goes_on_to_the_same_bytes(self) -> None:
        whole, folder = self.carried(), Path(self._room.name) / "killed"
        folder.mkdir()

        def kill(values: Mapping[str, float], step: int) -> None:
            if step == 3:
                raise Killed

        with pytest.raises(Killed):
            carried(self.recipe(), Run(folder, kill, print))
        last = max((folder / "checkpoints").glob("checkpoint-*"), key=lambda one: int(one.name.split("-")[1]))
        half = last.with_name(f"checkpoint-{int(last.name.split('-')[1]) + 1}")
        shutil.copytree(last, half)
        (half / "trainer_state.json").write_text('{"epoch": 3')  # as a kill leaves it that comes while it is written
        steps: list[int] = []
        metrics = learned_alone(self.recipe(), Run(folder, lambda _, step: steps.append(step), print, resume=True))
        assert steps == [3, 4]
        assert weights_in(folder) == weights_in(whole.folder)
        assert metrics == whole.trained.metrics

    def test_a_run_that_had_learned_everything_only_makes_its_file(self) -> None:
        whole = self.carried()
        metrics = learned_alone(self.recipe(), Run(whole.folder, stop, print, resume=True))
        assert metrics == whole.trained.metrics

    def test_it_begins_with_weights_of_this_disk(self) -> None:
        whole, folder = self.carried(), Path(self._room.name) / "from-weights"
        folder.mkdir()
        recipe = self.recipe().changed({"weights": str(whole.folder / "weights"), "epochs": 1, "lr": 1e-9})
        assert learned_alone(recipe, Run(folder, lambda *_: None, print)) == pytest.approx(whole.trained.metrics)

    def test_other_data_than_it_was_begun_with_are_refused(self) -> None:
        folder = Path(self._room.name) / "others"
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "data.json").write_text(json.dumps({"sha256": "0" * 64}))
        with pytest.raises(InputError, match="data are others"):
            carried(self.recipe(), Run(folder, lambda *_: None, print, resume=True))


def stop(values: Mapping[str, float], step: int) -> None:
    """Nothing is left to be learned."""
    raise AssertionError(step)


def weights_in(folder: Path) -> bytes:
    return (folder / "weights" / "model.safetensors").read_bytes()


def learned_alone(recipe: Recipe, run: Run) -> Mapping[str, float]:
    """The measures of a network that learned, and of which no file is made: that takes most of the time."""
    texts = read_texts(recipe.data, recipe.options, recipe.seed)
    with seeded(recipe.seed, torch.device("cpu")), offline(recipe.seed) as transformers:
        return learned(texts, recipe, run, transformers)[2]


def carried(recipe: Recipe, run: Run) -> Trained:
    trained: Trained = TRAINERS.make("text", recipe, run)
    return trained


@pytest.mark.parametrize(
    ("rows", "told", "says"),
    [
        ("text,label\na,x\nb,x\nc,x\n", {}, "all of the class"),
        ("words,label\na,x\nb,y\n", {}, "no column 'text'"),
        ("text,label\n1,x\n2,y\n", {}, "not text"),
        ("text,label\na,x\n,y\nc,x\n", {}, "has no 'text'"),
        ("text,label\na,x\nb,y\nc,x\nd,y\n", {"weights": "bert-base-uncased"}, "nothing is fetched"),
    ],
)
def test_what_cannot_be_learned_is_said(tmp_path: Path, rows: str, told: Mapping[str, Any], says: str) -> None:
    (tmp_path / "texts.csv").write_text(rows)
    (tmp_path / "run").mkdir()
    recipe = read_recipe(None, {"trainer": "text", "data": str(tmp_path / "texts.csv"), **told})
    with pytest.raises(InputError, match=says):
        carried(recipe, Run(tmp_path / "run", lambda *_: None, print))
    assert not list((tmp_path / "run").iterdir())


def test_one_customer_is_never_on_both_sides(tmp_path: Path) -> None:
    rows = [f"message {number},{'xy'[number % 2]},customer {number % 7}" for number in range(70)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label,who", *rows]) + "\n")
    options = read_recipe(None, {"trainer": "text", "data": "x", "group": "who"}).options
    texts = read_texts(str(tmp_path / "texts.csv"), options, 3)
    sides = [{int(text.split()[1]) % 7 for text, _ in part} for part in (texts.train, texts.val)]
    assert not sides[0] & sides[1]
    assert len(texts.train) + len(texts.val) == 70
