from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError, MissingExtra
from throughline.plugins import Family

MEMBER = """
from throughline.plugins import Plugin
PLUGIN = Plugin(make=lambda word: word.upper(), summary="shouts", needs={needs!r}, extra={extra!r})
"""


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Family:
    package = f"voices_{abs(hash(request.node.name))}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "loud.py").write_text(MEMBER.format(needs=(), extra=None))
    (folder / "far.py").write_text(MEMBER.format(needs=("json", "a_package_nobody_has"), extra="train"))
    (folder / "mute.py").write_text("")
    (folder / "_private.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Family("voice", package)


def test_a_file_dropped_in_is_a_member(family: Family) -> None:
    assert family.names() == ("far", "loud", "mute")
    assert family.make("loud", "hello") == "HELLO"
    assert family.get("far").summary == "shouts", "what it says of itself needs nothing installed"


def test_a_member_says_what_it_lacks_and_how_to_get_it(family: Family) -> None:
    with pytest.raises(MissingExtra, match=r"voice 'far' needs a_package_nobody_has[^$]*throughline\[train\]"):
        family.make("far", "hello")


def test_a_name_nobody_has_is_answered_with_the_nearest(family: Family) -> None:
    with pytest.raises(InputError, match="did you mean 'loud'"):
        family.make("lout", "hello")
    with pytest.raises(InputError, match="PLUGIN = Plugin"):
        family.make("mute", "hello")


def test_an_installed_package_joins_through_its_entry_point(tmp_path: Path) -> None:
    """A real distribution on the path, seen by a fresh process."""
    (tmp_path / "whisper.py").write_text(MEMBER.format(needs=(), extra=None))
    info = tmp_path / "whisper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: whisper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[throughline.backends]\nwhisper = whisper:PLUGIN\n")
    program = (
        "from throughline.models.backends import BACKENDS\n"
        "assert {'whisper', 'onnxruntime'} <= set(BACKENDS.names())\n"
        "print(BACKENDS.make('whisper', 'hello'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("HELLO\n", "")
