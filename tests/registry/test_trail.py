"""The record of moves: a chain that shows what was changed in it, and the way back through it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as some

from throughline.registry.trail import Trail, _hash, read_trail

SHA256 = "a" * 64


def written(moves: Sequence[tuple[str, str, int | None, int]]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for action, alias, before, after in moves:
        entry = read_trail(texts).next(action, alias, before, after, SHA256, reason="said why")  # type: ignore[arg-type]
        texts[entry.number] = entry.to_json()
    return texts


MOVES = [("promote", "champion", None, 1), ("promote", "champion", 1, 2), ("promote", "other", None, 1)]


def test_what_was_written_is_read_and_sealed_here() -> None:
    trail = read_trail(written(MOVES))
    assert trail.faults == ()
    assert [entry.number for entry in trail.entries] == [1, 2, 3]
    assert all(entry.sealed_here and entry.reason == "said why" and "@" in entry.who for entry in trail.entries)
    assert [entry.after for entry in trail.of("champion")] == [1, 2]


def test_nothing_written_is_an_empty_record() -> None:
    assert read_trail({}) == Trail(())


@given(some.integers(1, 3), some.sampled_from(["who", "at", "after", "reason", "evidence", "previous", "hash"]))
def test_one_that_was_changed_is_named(number: int, field: str) -> None:
    texts = written(MOVES)
    body = json.loads(texts[number])
    body[field] = body[field] + 1 if isinstance(body[field], int | float) else "0" + body[field][1:] + "x"
    texts[number] = json.dumps(body)
    assert any(f"move {number} " in fault for fault in read_trail(texts).faults)


def test_one_that_was_rewritten_with_its_hash_breaks_the_one_after_it_and_lacks_the_seal() -> None:
    texts = written(MOVES)
    forged = read_trail({1: texts[1]}).next("promote", "champion", 1, 9, SHA256)
    body = json.loads(forged.to_json()) | {"seal": json.loads(texts[2])["seal"]}
    texts[2] = json.dumps(body)
    trail = read_trail(texts)
    assert trail.faults == ("move 3 does not follow from the one before it, which was changed",)
    assert [entry.sealed_here for entry in trail.entries] == [True, False, True]


def test_one_that_was_taken_out_is_missed() -> None:
    texts = written(MOVES)
    del texts[2]
    assert read_trail(texts).faults == ("move 2 was taken out of the record",)
    assert read_trail({3: written(MOVES)[3]}).faults == ("moves 1 to 2 were taken out of the record",)


def test_one_that_cannot_be_read_is_named_and_nothing_breaks() -> None:
    for text in ("", "{", "[]", "null", '{"number": 2}', "[" * 10_000, *(timed(at) for at in (1e300, math.nan, -1.0))):
        assert "move 2 cannot be read" in read_trail(written(MOVES) | {2: text}).faults


def timed(at: float) -> str:
    """A move at a time that no calendar has, as somebody would write it who knows how its hash is made."""
    entry = dataclasses.replace(read_trail(written(MOVES)).entries[1], at=at)
    return dataclasses.replace(entry, hash=_hash(entry)).to_json()


def test_the_way_back_takes_back_one_promotion_after_the_other() -> None:
    moves: list[tuple[str, str, int | None, int]] = [("promote", "champion", None, 1)]
    moves += [("promote", "champion", 1, 2), ("promote", "champion", 2, 5)]
    assert read_trail(written(moves)).holders("champion") == [1, 2, 5]
    moves += [("rollback", "champion", 5, 2)]
    assert read_trail(written(moves)).holders("champion") == [1, 2]
    moves += [("rollback", "champion", 2, 1)]
    assert read_trail(written(moves)).holders("champion") == [1]
    moves += [("promote", "champion", 1, 5), ("promote", "champion", 5, 1)]
    assert read_trail(written(moves)).holders("champion") == [1, 5, 1]


def test_what_somebody_moved_by_other_means_is_on_the_way_back_too() -> None:
    moves: list[tuple[str, str, int | None, int]] = [
        ("promote", "champion", None, 1),
        ("promote", "champion", 7, 2),
    ]
    assert read_trail(written(moves)).holders("champion") == [1, 7, 2]
