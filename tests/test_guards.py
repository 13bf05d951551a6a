"""Promises about the whole package that no single room can keep."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import throughline
from throughline.cli import VERBS

ROOT = Path(__file__).parents[1]

PUBLIC = {
    "Artifact", "Check", "Config", "Detection", "Detections", "Frame", "HybridTracker", "InputError", "MissingExtra",
    "ModelManager", "ModelRefused", "Passport", "PassportMismatch", "Predictor", "Session", "SettingsError",
    "SourceFailed", "TensorRTConverter", "TensorSpec", "ThroughlineError", "Unavailable", "Verdict", "VideoProcessor",
    "bench", "compare", "demo", "deploy", "doctor", "evaluate", "explain", "export", "history", "inspect", "key",
    "monitor", "open_model", "optimize", "promote", "read_artifact", "register", "rollback", "run", "runs", "serve",
    "train", "tune", "verify",
}  # fmt: skip


def run_python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_the_public_names_are_these_and_each_resolves() -> None:
    assert set(throughline.__all__) == set(dir(throughline)) == PUBLIC
    for name in PUBLIC:
        assert getattr(throughline, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'ynspect'"):
        throughline.ynspect  # noqa: B018


def test_the_version_is_the_one_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert throughline.__version__ == project["version"]
    assert f"## {throughline.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_module_imports_with_nothing_but_numpy_installed() -> None:
    program = """
import json, pkgutil, sys

class OnlyNumpy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "throughline", "numpy"}:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, OnlyNumpy())
import throughline
imported = []
for module in pkgutil.walk_packages(throughline.__path__, "throughline."):
    __import__(module.name)
    imported.append(module.name)
print(json.dumps(imported))
"""
    imported = set(json.loads(run_python(program)))
    files = {path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.py")}
    expected = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files} - {"throughline"}
    assert imported == expected


def loaded_by(program: str) -> set[str]:
    # None stands for a module that is barred, not loaded
    loaded = "sorted({name.partition('.')[0] for name, module in sys.modules.items() if module is not None})"
    names = run_python(f"{program}\nimport sys; print('MODULES', *{loaded})")
    return set(names.rpartition("MODULES ")[2].split()) - sys.stdlib_module_names


def test_importing_the_package_loads_nothing_else() -> None:
    plain = loaded_by("pass")
    assert loaded_by("import throughline") - plain == {"throughline"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_the_overview_loads_nothing_but_the_package(arguments: list[str]) -> None:
    plain = loaded_by("pass")
    assert loaded_by(f"from throughline.cli import main; main({arguments})") - plain == {"throughline"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_loads_only_the_cli_library_and_numpy(verb: str) -> None:
    plain = loaded_by("pass")
    program = f"from throughline.cli import main\ntry: main(['{verb}', '--help'])\nexcept SystemExit: pass\n"
    allowed = {"throughline", "numpy", "cyclopts", "rich", "attr", "attrs", "docstring_parser", "markdown_it", "mdurl"}
    assert loaded_by(program) - plain <= allowed | {"pygments", "rich_rst", "typing_extensions", "_cython_3_2_1"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_function_of_its_files_name_whose_parameters_are_all_explained(verb: str) -> None:
    function = getattr(import_module(f"throughline.verbs.{verb}"), verb)
    assert getattr(throughline, verb) is function
    assert all(f"        {name}: " in function.__doc__ for name in function.__annotations__ if name != "return")


def test_every_verb_in_the_folder_is_on_the_command_line() -> None:
    assert {module.name for module in pkgutil.iter_modules(import_module("throughline.verbs").__path__)} == set(VERBS)


def test_every_pin_is_exact_and_every_dependency_is_pinned() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert pins["torch"] == "2.13.0"
    pinned = {name.lower().replace("_", "-") for name in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {name.partition("[")[0].partition(">")[0].partition("=")[0].lower().replace("_", "-") for name in asked}
    assert names - {"throughline"} <= pinned


def test_no_name_of_the_things_we_do_not_name_files_by() -> None:
    vague = {"core", "utils", "common", "base", "helpers", "misc", "util", "helper"}
    assert not [path for path in (ROOT / "src").rglob("*") if path.stem in vague]
