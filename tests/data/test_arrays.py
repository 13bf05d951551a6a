from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.data.arrays import read_arrays


class Spy:
    opened = False

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return setattr, (Spy, "opened", True)  # type: ignore[return-value]


def test_arrays_come_back_by_name(tmp_path: Path) -> None:
    ids, mask = np.arange(6).reshape(2, 3), np.ones((2, 3), np.float16)
    np.savez(tmp_path / "some.npz", ids=ids, mask=mask)
    np.savez_compressed(tmp_path / "packed.npz", ids=ids)
    np.save(tmp_path / "x.npy", mask)
    found = read_arrays(tmp_path / "some.npz")
    assert list(found) == ["ids", "mask"]
    assert np.array_equal(found["ids"], ids)
    assert found["mask"].dtype == np.float16
    assert np.array_equal(read_arrays(str(tmp_path / "packed.npz"))["ids"], ids)
    assert np.array_equal(read_arrays(tmp_path / "x.npy")["x"], mask)


def test_objects_are_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "spy.npy", np.array([Spy()], object), allow_pickle=True)
    np.savez(tmp_path / "spy.npz", a=np.array([Spy()], object))
    for name in ("spy.npy", "spy.npz"):
        with pytest.raises(InputError, match="Python objects"):
            read_arrays(tmp_path / name)
    assert not Spy.opened


def test_what_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.savez(tmp_path / "none.npz")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "words.npy").read_bytes()[:40])
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and nothing more")
    (tmp_path / "notes.txt").write_text("hello")
    for name, says in {
        "words.npy": "no number", "none.npz": "no array", "cut.npy": "cannot be read", "bad.npz": "cannot be read",
        "notes.txt": "no NumPy arrays", "absent.npz": "does not exist", ".": "cannot be read",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=says):
            read_arrays(tmp_path / name)
