"""What every target of ``deploy`` must do, as a test class: subclass it and name the target.

    class TestMine(TargetConformance):
        target = "mine"

The promise at its heart: what a model says of itself names nothing that runs. Its file, its labels and its tensors may
be called whatever somebody found funny; the files that are written and the commands that are given stay the same.
"""
# ruff: noqa: D102 - a test's name is its docstring

from __future__ import annotations

import re
from abc import ABC
from pathlib import Path
from typing import ClassVar, Final

from throughline.models import passport as passports
from throughline.models.artifact import Given, read_artifact
from throughline.serving.deploying import TARGETS, Made, Order
from throughline.serving.deploying._model import cleared

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")
_HOSTILE: Final = '"; touch pwned; "$(touch pwned){{ 7 * 7 }}\nRUN touch pwned'


class TargetConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    target: ClassVar[str]

    def model(self, folder: Path, said: str = "x") -> Path:
        """Rows of three numbers given back, by a model that calls its file, its tensors and its classes so."""
        from onnx import TensorProto, helper

        folder.mkdir()
        path = folder / f"{said.replace('/', '')[:40]}.onnx"
        takes, gives = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3]) for name in (said, f"{said} too")
        )
        node = helper.make_node("Identity", [takes.name], [gives.name])
        graph = helper.make_graph([node], "given_back", [takes], [gives])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        path.write_bytes(model.SerializeToString())
        given = Given(
            task="classify", labels=tuple(f"{said.splitlines()[0]} {at}" for at in range(3)), licence="CC0-1.0"
        )
        passports.issue(path, read_artifact(path, given).passport, vouch=True)
        return path

    def write(self, model: Path, out: Path) -> Made:
        """The target's files for this model, in a new folder."""
        out.mkdir()
        artifact, kind = cleared(model, False)
        order = Order(artifact, kind, name="street", image="registry.example.com/street:1", out=out, threads=1)
        made: Made = TARGETS.make(self.target, order, out)
        return made

    def test_it_says_what_it_is_for_and_what_it_takes(self) -> None:
        plugin = TARGETS.get(self.target)
        assert plugin.summary
        assert plugin.facts["formats"]

    def test_it_writes_plain_files_and_says_how_to_go_on(self, tmp_path: Path) -> None:
        made = self.write(self.model(tmp_path / "from"), tmp_path / "out")
        found = list((tmp_path / "out").rglob("*"))
        assert any(path.is_file() for path in found)
        assert not any(path.is_symlink() for path in found)
        assert made.commands
        assert all(word and isinstance(word, str) for command in made.commands for word in command)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "state") == ["from", "out"]

    def test_what_a_model_says_of_itself_names_nothing(self, tmp_path: Path) -> None:
        plain, hostile = self.model(tmp_path / "plain"), self.model(tmp_path / "hostile", _HOSTILE)
        said = [self.write(path, tmp_path / f"out of {path.parent.name}") for path in (plain, hostile)]
        names = [_names(tmp_path / f"out of {path.parent.name}") for path in (plain, hostile)]
        assert names[0] == names[1]
        assert all(_PLAIN.fullmatch(part) for name in names[0] for part in Path(name).parts)
        commands = [
            [
                [word.replace(str(path), "MODEL").replace(path.parent.name, "") for word in words]
                for words in one.commands
            ]
            for path, one in zip((plain, hostile), said, strict=True)
        ]
        assert commands[0] == commands[1]

    def test_a_model_arrives_as_it_left(self, tmp_path: Path) -> None:
        model = self.model(tmp_path / "from")
        self.write(model, tmp_path / "out")
        for carried in (tmp_path / "out").rglob("*.onnx"):
            assert passports.digest(carried) == passports.digest(model)
            assert read_artifact(carried).passport.labels == read_artifact(model).passport.labels

    def test_no_path_of_this_machine_is_in_a_file(self, tmp_path: Path) -> None:
        self.write(self.model(tmp_path / "from"), tmp_path / "out")
        here = [str(place).encode() for place in (tmp_path, Path.home(), Path.cwd()) if place != Path("/")]
        for path in (tmp_path / "out").rglob("*"):
            assert not (path.is_file() and any(place in path.read_bytes() for place in here)), path

    def test_the_same_order_is_the_same_files(self, tmp_path: Path) -> None:
        model = self.model(tmp_path / "from")
        measured = [self.write(model, tmp_path / name).measured for name in ("one", "two")]
        assert _names(tmp_path / "one") == _names(tmp_path / "two")
        for name in _names(tmp_path / "one") if not any(measured) else ():
            one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
            assert one == two, name


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
