"""What the documentation says is run: generated pages are compared, commands and Python blocks executed."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from throughline.testing.world import World, write_coco, write_video, write_yolo
from throughline.training.ranges import ranges_of
from throughline.training.recipe import read_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(kind: str) -> list[object]:
    return [
        pytest.param(page, text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (language, text) in enumerate(BLOCK.findall(page.read_text()))
        if language == kind
    ]


def test_the_help_page_is_what_the_commands_print() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    assert (ROOT / "docs" / "cli.md").read_text() == generate["page"](), "run `make docs`"


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets."""
    folder = tmp_path_factory.mktemp("streets")
    write_yolo(World(3, 320, 192), folder / "street", train=3, val=4)
    write_coco(World(3, 320, 192), folder / "crossing", 3)
    return folder


@pytest.fixture
def workplace(tmp_path: Path, streets: Path) -> Path:
    """What a reader has around them: a clone in which ``make demo`` was run; a model, a video and data of their own."""
    shutil.copytree(streets, tmp_path, dirs_exist_ok=True)
    bundled = ROOT / "src" / "throughline" / "bundled"
    for suffix in (".onnx", ".passport.json"):
        shutil.copy(bundled / f"detector{suffix}", tmp_path / f"model{suffix}")
    write_video(World(7), tmp_path / "street.mp4", 20)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "throughline").symlink_to(Path(sys.executable).parent / "throughline")
    (tmp_path / "runs" / "demo" / "clip").mkdir(parents=True)
    shutil.copy(tmp_path / "street.mp4", tmp_path / "runs" / "demo" / "clip")
    return tmp_path


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_in_the_documentation_runs(page: Path, text: str, workplace: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], cwd=workplace, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("page", "text"), blocks("sh"))
def test_commands_in_the_documentation_run(page: Path, text: str, workplace: Path) -> None:
    for line in filter(None, (line.partition("  #")[0].strip() for line in text.splitlines())):
        words = shlex.split(line)
        if words[0] == "make":
            # what make would do is shown by CI itself, which calls these very targets
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        elif words[:2] == ["pip", "install"]:
            known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            extras = re.findall(r"\[([\w,]+)\]", line)
            assert all(extra in known for group in extras for extra in group.split(","))
        elif words[:2] in (["git", "clone"], ["cd", "throughline"]):
            continue
        else:
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            ran = subprocess.run(
                ["bash", "-c", line],
                cwd=workplace,
                env={**os.environ, "PATH": path, "PYTHONWARNINGS": "default"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, f"{line}\n{ran.stderr}"


def test_every_page_has_only_links_that_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_block_says_what_it_is() -> None:
    for page in PAGES:
        kinds = {language for language, _ in BLOCK.findall(page.read_text())}
        assert kinds <= {"sh", "python", "text", "json", "toml", "yaml"}, f"{page.name}: {kinds}"


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_recipes_in_the_documentation_are_recipes(page: Path, text: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    fixed, space = ranges_of(recipe, {})
    read_recipe(recipe, {**fixed, **{name: one.points()[0] for name, one in space.items()}})
