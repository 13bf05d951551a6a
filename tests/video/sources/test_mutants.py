from __future__ import annotations

from pathlib import Path

import clips
import damage
import pytest

COUNT, EACH = 24, 40


@pytest.mark.parametrize("kind", clips.KINDS)
def test_no_damage_ends_short_without_a_word(tmp_path: Path, kind: str) -> None:
    path = clips.write_kind(tmp_path, kind, COUNT)
    good, fates = path.read_bytes(), []
    for seed in range(EACH):
        how, data = damage.mutate(good, seed)
        path.write_bytes(data)
        fate = damage.read(path, COUNT)
        assert not fate.fault, f"seed {seed}, {how}: {fate}"
        assert fate.seconds < 20, f"seed {seed}, {how}: {fate}"
        fates.append(fate)
    assert any(fate.gaps or fate.refused for fate in fates)
    assert any(fate.given for fate in fates)


def test_silence_would_be_noticed(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mp4", COUNT)
    assert damage.read(path, COUNT).fault == ""
    assert "not a word" in damage.read(path, COUNT + 1).fault
