from __future__ import annotations

from pathlib import Path

import clips
import damage
import pytest

COUNT, EACH = 24, 20


@pytest.mark.parametrize("kind", clips.KINDS)
def test_no_damage_ends_short_without_a_word(tmp_path: Path, kind: str) -> None:
    path = clips.write_kind(tmp_path, kind, COUNT)
    good, fates = path.read_bytes(), []
    for seed in range(EACH):
        how, data = damage.mutate(good, seed)
        path.write_bytes(data)
        fate = damage.read(path, COUNT, good)
        assert not fate.fault, f"seed {seed}, {how}: {fate}"
        assert fate.seconds < 20, f"seed {seed}, {how}: {fate}"
        fates.append(fate)
    assert any(fate.gaps or fate.refused for fate in fates)
    assert any(fate.given for fate in fates)


def test_silence_would_be_noticed(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mp4", COUNT)
    assert damage.read(path, COUNT).fault == ""
    assert "not a word" in damage.read(path, COUNT + 1).fault


@pytest.mark.parametrize("kind", ["h264.ts", "hevc.ts", "mpeg2.ts"])
def test_a_stream_file_cut_anywhere_says_so_unless_the_cut_lies_between_two_pictures(tmp_path: Path, kind: str) -> None:
    codec, options = {**clips.KINDS, "mpeg2.ts": ("mpeg2video", {"g": "12"})}[kind]
    path = clips.write(tmp_path / kind, clips.street(COUNT), codec, options)
    good, between, within = path.read_bytes(), 0, 0
    for packets in range(60, len(good) // 188):
        path.write_bytes(good[: 188 * packets])
        fate = damage.read(path, COUNT, good)
        assert not fate.fault, f"{packets} packets: {fate}"
        between += fate.shorter
        within += bool(fate.gaps)
    assert between > 0
    assert within > 5


def test_a_cut_between_two_pictures_is_told_from_one_within(tmp_path: Path) -> None:
    good = clips.write_kind(tmp_path, "h264.ts", COUNT).read_bytes()
    counts = [damage.pictures_before_the_cut(good, good[: 188 * packets]) for packets in range(4, len(good) // 188)]
    assert None in counts
    assert [count for count in counts if count is not None][-1] == COUNT - 1
    assert damage.pictures_before_the_cut(good, good[:1000]) is None
    assert damage.pictures_before_the_cut(good, b"G" + good[1:376]) == damage.pictures_before_the_cut(good, good[:376])
    assert damage.pictures_before_the_cut(good, good) is None
