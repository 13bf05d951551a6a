"""Classes of texts: a small network that is grown from messages alone, broken off, and gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
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
pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"width": 32, "layers": 1, "heads": 2, "vocabulary": 400, "longest": 32, "batch": 16, "lr": 5e-3}


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
        folder.mkdir()
        (folder / "data.json").write_text(json.dumps({"sha256": "0" * 64}))
        with pytest.raises(InputError, match="data are others"):
            carried(self.recipe(), Run(folder, lambda *_: None, print, resume=True))
        assert not (self.carried().folder / "checkpoints").exists()
        assert (self.carried().folder / "data.json").is_file(), "after all is learned it still says from what"

    @pytest.mark.parametrize(
        ("file", "content", "says"),
        [
            ("model.safetensors", "\xff" * 50, "no classifier of texts"),
            ("tokenizer.json", "{}", "no tokenizer"),
            ("config.json", '{"model_type": "nonsense"}', "no classifier of texts"),
            ("config.json", '{"model_type": "resnet"}', "no classifier of texts"),
        ],
    )
    def test_a_folder_that_cannot_be_opened_is_refused(
        self, tmp_path: Path, file: str, content: str, says: str
    ) -> None:
        shutil.copytree(self.carried().folder / "weights", tmp_path / "net")
        (tmp_path / "net" / file).write_text(content)
        with pytest.raises(InputError, match=says):
            learned_alone(self.recipe().changed({"weights": str(tmp_path / "net")}), Run(tmp_path, stop, print))

    def test_more_tokens_than_a_model_takes_are_refused(self, tmp_path: Path) -> None:
        shutil.copytree(self.carried().folder / "weights", tmp_path / "net")
        with offline(0) as transformers:  # it counts places from 2 on, so that it takes two tokens less than it says
            config = transformers.RobertaConfig(
                vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
                max_position_embeddings=34, pad_token_id=1,
            )  # fmt: skip
            transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path / "net")
        recipe = self.recipe().changed({"weights": str(tmp_path / "net"), "longest": 34})
        with pytest.raises(InputError, match=r"longest 34: the model in .* takes 32 tokens"):
            learned_alone(recipe, Run(tmp_path, stop, print))

    def test_code_that_lies_beside_a_tokenizer_is_not_run_nor_asked_about(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net = tmp_path / "net"
        shutil.copytree(self.carried().folder / "weights", net)
        (net / "evil.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import PreTrainedTokenizerFast as Evil\n"
        )
        (net / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}')
        (net / "config.json").write_text('{"model_type": "resnet"}')  # which has no tokenizer of its own
        asked = list[str]()
        monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
        with pytest.raises(InputError, match="no tokenizer"):
            learned_alone(self.recipe().changed({"weights": str(net)}), Run(tmp_path, stop, print))
        assert asked == []
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_the_tokenizer_that_ships_cuts_and_pads_on_the_side_that_was_taught(
        self, tmp_path: Path, side: str
    ) -> None:
        from tokenizers import Tokenizer

        from throughline.training.trainers._texts import write_tokens

        texts = ["late", "the parcel came late and the box was open, but the shop was kind and sent another one"]
        with offline(0) as transformers:
            own = transformers.AutoTokenizer.from_pretrained(self.carried().folder / "weights")
        own.padding_side = own.truncation_side = side
        shipped = Tokenizer.from_file(str(write_tokens(own, 8, tmp_path / "tokenizer.json")))
        taught = own(texts, truncation=True, max_length=8, padding=True)
        assert [one.ids for one in shipped.encode_batch(texts)] == taught["input_ids"]
        assert [one.attention_mask for one in shipped.encode_batch(texts)] == taught["attention_mask"]


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


def test_what_judges_is_not_learned_from_where_somebody_gave_a_table_of_it(tmp_path: Path) -> None:
    rows = [f"message {number},{'xy'[number % 2]},customer {number % 10}" for number in range(60)]
    others = ["message 3,y,somebody", "message 80,x,customer 4", "message 81,y,somebody"]
    for name, lines in (("known", rows), ("judging", others)):
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label,who", *lines]) + "\n")
    told = {"trainer": "text", "data": "x", "validation": str(tmp_path / "judging.csv")}
    texts = read_texts(str(tmp_path / "known.csv"), read_recipe(None, told).options, 0)
    assert (len(texts.train), len(texts.val), texts.left_out) == (59, 3, 1)
    assert "message 3" not in dict(texts.train)
    grouped = read_texts(str(tmp_path / "known.csv"), read_recipe(None, {**told, "group": "who"}).options, 0)
    assert (len(grouped.train), grouped.left_out) == (53, 7)
    assert not {number for number in range(60) if number % 10 == 4} & {int(t.split()[1]) for t, _ in grouped.train}
    with pytest.raises(InputError, match="none is left to learn from"):
        read_texts(str(tmp_path / "judging.csv"), read_recipe(None, told).options, 0)


def test_a_gap_in_a_column_of_numbers_is_no_group(tmp_path: Path) -> None:
    rows = [f"message {number},{'xy'[number % 2]},{number if number != 7 else ''}" for number in range(20)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label,who", *rows]) + "\n")
    options = read_recipe(None, {"trainer": "text", "data": "x", "group": "who"}).options
    with pytest.raises(InputError, match="row 8 has no 'who'"):
        read_texts(str(tmp_path / "texts.csv"), options, 0)
