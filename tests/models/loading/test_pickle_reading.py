"""The inert walk sees every name that CPython would look up, on honest pickles and on mutants of hostile ones."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
from pathlib import Path
from typing import Any

import hostile_checkpoints
import hostile_pickles
import pytest

from throughline.models.loading.pickles import COMPUTED, Global, read_pickles


class _Inert:
    """Stands for whatever a pickle would import; takes every call and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self

    def __setstate__(self, _: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    def __setitem__(self, *_: Any) -> None:
        pass


class _Recorder(pickle._Unpickler):
    """CPython's unpickler, which writes down what it is asked to import and imports nothing.

    The one in Python, since that in C reserves memory for whatever memo number a mutant names.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        self.names.append(str(Global(module, name)))
        return _Inert

    def persistent_load(self, _: Any) -> Any:
        return None


def _imports(data: bytes) -> list[str]:
    recorder = _Recorder(data)
    # A damaged pickle may fail in any way at all; what it asked for until then is what counts.
    with contextlib.suppress(Exception):
        recorder.load()
    return recorder.names


SEEDS = {
    **{name: build(Path("/tmp/canary")) for name, build in hostile_pickles.PICKLES.items()},
    "honest": hostile_checkpoints.HONEST,
    "numbers": pickle.dumps({"a": [1, 2.5, (3, "x")], "b": {1, 2}, "c": b"bytes", "d": 1 << 80}, 5),
}


@pytest.mark.parametrize("name", SEEDS)
def test_every_name_is_seen(name: str) -> None:
    numbers = random.Random(name)
    for _ in range(150):
        data = bytearray(SEEDS[name])
        for _ in range(numbers.randrange(4)):
            at = numbers.randrange(len(data))
            match numbers.randrange(4):
                case 0:
                    data[at] = numbers.randrange(256)
                case 1:
                    data[at:at] = bytes([numbers.choice(b"0()]}.NRbtu\x85\x93\x94h\x00sael")])
                case 2:
                    del data[at]
                case _:
                    data[at:at] = data[at : at + numbers.randrange(12)]
        asked = _imports(bytes(data))
        reading = read_pickles(bytes(data))
        seen = set(reading.names())
        assert set(asked) <= seen or str(COMPUTED) in seen, (bytes(data), asked, seen)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_is_read_as_it_is(protocol: int) -> None:
    value = {"a": [1, -2, 2.5, None, True], "b": ("x", b"y"), "c": {"d": 1 << 70}, "e": [[]], "f": ()}
    reading = read_pickles(pickle.dumps(value, protocol))
    root = reading.root
    assert (root["a"], root["c"], root["e"], root["f"]) == (value["a"], value["c"], value["e"], value["f"])
    assert root["b"][0] == "x"
    assert set(reading.names()) <= {"_codecs.encode"}
    assert reading.broken is None
    assert reading.end == len(pickle.dumps(value, protocol))


def test_two_pickles_are_both_read() -> None:
    reading = read_pickles(pickle.dumps(1) + pickle.dumps([2]) + b"\x00tail")
    assert reading.roots == [1, [2]]
