"""Arrays by name, for models that take no pictures: ``.npz``, or one ``.npy``. Nothing in them is ever run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError


def read_arrays(path: str | Path) -> dict[str, Array]:
    """The arrays in a file by name; the one of an ``.npy`` is called as its file is."""
    place = Path(path)
    try:
        with place.open("rb") as file:
            begins = file.read(6)
            file.seek(0)
            if begins == b"\x93NUMPY":
                arrays = {place.stem: np.load(file, allow_pickle=False)}
            elif begins.startswith(b"PK"):
                archive = np.load(file, allow_pickle=False)
                arrays = {name: archive[name] for name in archive.files}
            else:
                raise InputError(f"{place} holds no NumPy arrays", "save them by name: numpy.savez(path, input=array)")
    except FileNotFoundError:
        raise InputError(f"{place} does not exist", "check the path") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError, NotImplementedError) as error:
        if "allow_pickle" in str(error):
            says = f"{place} holds Python objects, which are not opened"
            raise InputError(says, "save arrays of numbers: numpy.savez(path, input=array)") from None
        raise InputError(f"{place} cannot be read: {str(error).splitlines()[0]}", "save it again") from None
    if strange := [name for name, one in arrays.items() if one.dtype.kind not in "biufc"]:
        dtype = arrays[strange[0]].dtype
        raise InputError(f"{place}: '{strange[0]}' is of {dtype}, which is no number", "save arrays of numbers")
    if not arrays:
        raise InputError(f"{place} holds no array", "save them by name: numpy.savez(path, input=array)")
    return arrays
