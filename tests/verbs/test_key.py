"""``throughline key`` as its users call it: a key is shown once, and what is kept cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from throughline.cli import main
from throughline.serving.keys import Door, read_keys


def test_a_key_is_shown_once_and_opens_the_door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.json"
    assert main(["key", "operator", "--role", "admin", "--keys", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["role"]) == ("operator", "admin")
    assert said["key"] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert Door(read_keys(path), anonymous=False).check("admin", f"Bearer {said['key']}") == "operator"


def test_it_says_how_it_is_sent_and_that_it_cannot_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["key", "camera"]) == 0
    said = capsys.readouterr().out
    assert "Authorization: Bearer tl_" in said
    assert "cannot be read again" in said
    assert [(one.name, one.role) for one in read_keys(tmp_path / "keys.json")] == [("camera", "infer")]


def test_what_is_wrong_is_said_and_nothing_is_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.json"
    assert main(["key", "camera", "--keys", str(path)]) == 0
    before = path.read_bytes()
    for wrong in (["key", "camera"], ["key", "other", "--role", "root"], ["key", "other", "--role", "open"]):
        assert main([*wrong, "--keys", str(path)]) == 2
        assert "fix:" in capsys.readouterr().err
    assert path.read_bytes() == before
    path.write_text("these are no keys")
    assert main(["key", "third", "--keys", str(path)]) == 2
    assert path.read_text() == "these are no keys"
    assert main(["key", "third", "--keys", str(tmp_path / "nowhere" / "keys.json")]) == 2
    assert list(tmp_path.iterdir()) == [path]
