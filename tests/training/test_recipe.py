from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError, SettingsError
from throughline.settings import setting, told_of
from throughline.training import recipe as recipes
from throughline.training.recipe import Recipe, read_recipe


def written(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def test_a_file_and_flags_make_a_recipe_and_the_flags_win(tmp_path: Path) -> None:
    path = written(tmp_path, "trainer: torch_loop\ndata: streets\nlr: 1e-3\nepochs: 3\ncompile: no\n")
    recipe = read_recipe(path, {"epochs": "5", "seed": 7, "batch": None})
    assert (recipe.trainer, recipe.data, recipe.seed, recipe.name) == ("torch_loop", "streets", 7, "small")
    assert (recipe.options.lr, recipe.options.epochs, recipe.options.compile) == (0.001, 5, False)


def test_what_is_saved_is_complete_and_gives_the_same_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(None, {"trainer": "torch_loop", "data": "no", "name": "a.b", "weights": "1e5", "lr": 1e-5})
    recipe.save(tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe
    text = (tmp_path / "recipe.yaml").read_text()
    assert all(f"{name}:" in text for name in told_of(type(recipe.options)))


@pytest.mark.parametrize(
    ("line", "says", "fix"),
    [
        ("epoch: 3", "small.yaml:3: the trainer 'torch_loop' has no option 'epoch'", "did you mean 'epochs'?"),
        ("epochs: many", "small.yaml:3: epochs is 'many'", "is a whole number: 1 to 100000"),
        ("epochs: 0", "small.yaml:3: epochs is 0", "1 to 100000"),
        ("epochs: 2.5", "small.yaml:3: epochs is '2.5'", "a whole number"),
        ("lr: nan", "small.yaml:3: lr is nan", "a number: 0 to 10"),
        ("compile: perhaps", "small.yaml:3: compile is 'perhaps'", "a yes or no"),
        ("task: detekt", "small.yaml:3: task is 'detekt'", "did you mean 'detect'?"),
        ("model: a b", "small.yaml:3: model is 'a b'", "package.module:factory"),
        ("seed: -1", "small.yaml:3: seed is -1", "0 to 4294967295"),
        ("name: ../up", "small.yaml:3: name is '../up'", "letters, digits"),
        ("epochs: {a: 1}", "small.yaml:3: epochs holds names and values", "a recipe is flat"),
        ("epochs: [1, 2]", "small.yaml:3: epochs is (1, 2)", "a whole number"),
        ("data: again", "small.yaml:3: 'data' is there twice", "keep one"),
        ("x: !!python/object:os.system a", "small.yaml:3: the tag", "remove it"),
    ],
)
def test_what_nobody_can_mean_is_one_error_with_its_place(tmp_path: Path, line: str, says: str, fix: str) -> None:
    path = written(tmp_path, f"trainer: torch_loop\ndata: streets\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        read_recipe(path)
    assert says in caught.value.problem
    assert fix in caught.value.fix


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="the recipe: it has no trainer"):
        read_recipe(None, {"data": "streets"})
    with pytest.raises(SettingsError, match=r"small\.yaml: it has no data"):
        read_recipe(written(tmp_path, "trainer: torch_loop\n"))
    with pytest.raises(SettingsError, match=r"there is no trainer 'torch_lop'\n.*did you mean 'torch_loop'"):
        read_recipe(written(tmp_path, "trainer: torch_lop\ndata: x\n"))
    with pytest.raises(InputError, match="there is no such recipe"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match=r"--epochs: epochs is 'x'"):
        read_recipe(None, {"trainer": "torch_loop", "data": "x", "epochs": "x"})


def test_a_change_is_checked_as_a_file_is(tmp_path: Path) -> None:
    recipe = read_recipe(None, {"trainer": "torch_loop", "data": "streets"})
    assert recipe.changed({"lr": "0.5", "epochs": 3}).options == dataclasses.replace(recipe.options, lr=0.5, epochs=3)
    with pytest.raises(SettingsError, match="trial 3: the trainer 'torch_loop' has no option 'lrr'"):
        recipe.changed({"lrr": 1}, "trial 3")


@dataclasses.dataclass(frozen=True)
class Several:
    """Fields of every kind."""

    lags: tuple[int, ...] = setting((1, 7), "which days before", "1 to 400", 1, 400)
    words: tuple[str, ...] = setting((), "words", "any")
    limit: int | None = setting(None, "a limit", "1 to 9", 1, 9)

    def __post_init__(self) -> None:
        if self.limit == 5:
            raise InputError("a limit of 5 goes with nothing", "give 6")


def test_several_values_and_open_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "options_of", lambda trainer: Several)
    path = written(tmp_path, "trainer: torch_loop\ndata: x\nlags: [1, 14]\nwords: a, b\nlimit: null\n")
    recipe = read_recipe(path)
    assert recipe.options == Several((1, 14), ("a", "b"))
    assert recipe.changed({"lags": "3", "limit": "7"}).options == Several((3,), ("a", "b"), 7)
    assert recipe.changed({"lags": []}).options.lags == ()
    recipe.save(tmp_path / "again.yaml")
    assert read_recipe(tmp_path / "again.yaml", {"name": "small"}) == recipe
    for change, says in (({"lags": [0]}, r"lags is 0"), ({"limit": 10}, "limit is 10"), ({"limit": 5}, "a limit of 5")):
        with pytest.raises(SettingsError, match=says):
            recipe.changed(change)
    assert isinstance(recipe, Recipe)
