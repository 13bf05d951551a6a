"""What opening a .pt2 archive would unpickle or load, listed without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import ThroughlineError
from throughline.models.loading.archives import Archive, open_archive
from throughline.models.loading.globals import outside
from throughline.models.loading.pickles import read_pickles

_MAX_NESTED = 64 << 20
_OBJECTS = ("custom_obj", "opaque_obj")
_LIBRARIES = (".so", ".cubin", ".hsaco", ".dll", ".dylib", ".spv", ".o", ".cpp", ".ptx")


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the archive besides a graph and plain numbers.

    Attributes:
        globals: the names its pickles would import that are not part of plain tensors.
        carried: each thing found, in words.
        libraries: the compiled code among them.
    """

    globals: tuple[str, ...]
    carried: tuple[str, ...]
    libraries: tuple[str, ...]


def inspect_pt2(archive: Archive) -> Contents:
    """List the pickles, objects and compiled libraries in a .pt2 archive."""
    libraries = tuple(name for name in archive.entries if name.endswith(_LIBRARIES))
    carried: list[str] = [f"the compiled library {name.removeprefix(archive.root)}" for name in libraries[:4]]
    imported: set[str] = set()
    for name, entry in archive.entries.items():
        leaf = name.rpartition("/")[2]
        pickled = leaf.startswith(_OBJECTS) or name.endswith((".pt", ".pkl", ".pickle"))
        if not pickled or entry.file_size == 0:
            continue
        carried.append(name.removeprefix(archive.root))
        imported.update(_imports(archive, name))
    return Contents(outside(tuple(sorted(imported))), tuple(carried[:8]), libraries)


def _imports(archive: Archive, name: str) -> tuple[str, ...]:
    """The globals of one entry, which is a pickle or an archive with pickles in it."""
    data = archive.read(name, _MAX_NESTED)
    if data[:4] != b"PK\x03\x04":
        return read_pickles(data).names()
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".zip") as copy:
        copy.write(data)
        copy.flush()
        try:
            inner = open_archive(Path(copy.name))
            pickles = [entry for entry in inner.entries if entry.endswith(".pkl")]
            return tuple(found for entry in pickles for found in read_pickles(inner.read(entry)).names())
        except ThroughlineError as error:
            return (f"<unreadable {name.rpartition('/')[2]}>.{type(error).__name__}",)
