"""Find the pickle in a PyTorch checkpoint, in each container PyTorch has used, and the bytes its tensors refer to.

``torch.save`` has written a zip archive since 1.6; five pickles followed by raw
storages before that; and a tar archive before 0.1. People also save a bare
pickle, or a zip of anything.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.loading.claims import ITEM_BYTES, Claim, broken_claim, claims
from throughline.models.loading.pickles import Reading, read_pickles

if TYPE_CHECKING:
    from throughline.models.formats import Glimpse
    from throughline.models.loading.archives import Archive

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_PICKLE = 1 << 28
_MAX_ZIPPED_PICKLES = 64
_MAX_ZIPPED_ENTRIES = 20_000
_TAR = "legacy tar format, before PyTorch 0.1"
_PICKLE_SUFFIXES = (".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint's container, the walk over its pickle, and how many bytes each storage has.

    ``storages`` is None where the container does not tell.
    """

    path: Path
    container: str
    reading: Reading
    storages: Mapping[str, int] | None = None

    @property
    def is_tar(self) -> bool:
        """Whether it is in the oldest format, which no restricted loader reads."""
        return self.container == _TAR


def recognises(file: Glimpse) -> bool:
    """Whether the file is a pickle, or an archive with one that is no TorchScript or .pt2 program."""
    head = file.head
    if (archive := file.archive) is not None:
        return not is_pt2(archive) and not is_torchscript(archive) and bool(_pickled(archive))
    if is_tar(head):
        return True
    return _is_pickle(head)


def is_torchscript(archive: Archive) -> bool:
    """Whether the archive holds compiled TorchScript."""
    return not is_pt2(archive) and any(archive.has(name) for name in ("constants.pkl", "bytecode.pkl"))


def is_pt2(archive: Archive) -> bool:
    """Whether the archive holds an exported program, in today's layout or the first one."""
    return any(archive.has(name) for name in ("archive_format", "serialized_exported_program.json"))


def is_tar(head: bytes) -> bool:
    """Whether the file is a tar archive."""
    return head[257:262] == b"ustar"


def read_checkpoint(file: Glimpse) -> CheckpointFile:
    """Walk the checkpoint's pickles."""
    if (archive := file.archive) is not None:
        return _from_archive(archive)
    if is_tar(file.head):
        return _from_tar(file)
    data = _bytes_of(file.path, min(file.size, _MAX_PICKLE))
    first = read_pickles(data, count=1)
    if first.root == LEGACY_MAGIC:
        return CheckpointFile(file.path, "legacy format, before PyTorch 1.6", *_legacy(file.path, data))
    whole = first if first.broken or first.end == len(data) else read_pickles(data)
    return CheckpointFile(file.path, "bare pickle", whole)


def check_claims(checkpoint: CheckpointFile, found: list[Claim]) -> None:
    """Refuse a checkpoint whose tensors the bytes in the file cannot hold."""
    if checkpoint.storages is None:
        return
    wrong = broken_claim(found, checkpoint.storages, checkpoint.path.stat().st_size)
    if wrong is not None:
        raise ModelRefused(
            f"{checkpoint.path} claims what it does not hold: {wrong}", "get the model from its author again"
        )


def _from_archive(archive: Archive) -> CheckpointFile:
    main, prefix = f"{archive.root}data.pkl", f"{archive.root}data/"
    # Another pickle in the archive may be read by somebody else, so its names count too; the main one is read last,
    # since the last root is the checkpoint.
    reading = Reading()
    for name in sorted({*_pickled(archive), *({main} & set(archive.entries))}, key=lambda name: name == main):
        read_pickles(archive.read(name, _MAX_PICKLE), before=reading)
    if main not in archive.entries:
        return CheckpointFile(archive.path, "zip archive with a pickle in it", reading)
    storages = {
        name.removeprefix(prefix): entry.file_size for name, entry in archive.entries.items() if name.startswith(prefix)
    }
    return CheckpointFile(archive.path, "zip format", reading, storages)


def _pickled(archive: Archive) -> list[str]:
    """The entries that are pickles, by name or by their first bytes."""
    found: list[str] = []
    for name, entry in list(archive.entries.items())[:_MAX_ZIPPED_ENTRIES]:
        in_storage = "/data/" in name or name.startswith("data/")
        if len(found) >= _MAX_ZIPPED_PICKLES or entry.file_size == 0 or in_storage:
            continue
        if name.endswith(_PICKLE_SUFFIXES) or _is_pickle(archive.begin(name, 1 << 12)):
            found.append(name)
    return found


def _is_pickle(head: bytes) -> bool:
    return (len(head) > 1 and head[0] == 0x80 and 1 <= head[1] <= 5) or _is_text_pickle(head)


def _is_text_pickle(head: bytes) -> bool:
    """Whether this is a pickle of protocol 0 or 1, which have no magic: it reads to its end, or it imports a module."""
    if not head or head[0] not in b"(c]}lVIFSNKX":
        return False
    reading = read_pickles(head, count=1)
    if reading.roots:
        return reading.steps > 2
    roots = {str(name).partition(".")[0] for name in reading.globals}
    return reading.steps > 2 and bool(roots & {*sys.stdlib_module_names, "__builtin__", "torch", "numpy"})


def _legacy(path: Path, data: bytes) -> tuple[Reading, Mapping[str, int] | None]:
    """The fourth of five pickles is the checkpoint; the fifth names the storages, whose bytes follow."""
    reading = read_pickles(data, count=5)
    if len(reading.roots) < 5:
        reading.broken = reading.broken or "it ends before its tensors (it is cut short)"
        return reading, None
    keys, root = reading.roots[4], reading.roots[3]
    sizes = {claim.storage: claim.storage_elements * ITEM_BYTES.get(claim.dtype, 1) for claim in claims(root)}
    needed = sum(sizes.values()) + 8 * len(keys if isinstance(keys, list) else ())
    left = path.stat().st_size - reading.end
    if needed > left:
        reading.broken = reading.broken or f"its tensors need {needed:,} bytes and {left:,} are left (it is cut short)"
    reading.roots.append(root)
    return reading, sizes


def _from_tar(file: Glimpse) -> CheckpointFile:
    import tarfile

    merged = Reading()
    try:
        with tarfile.open(file.path, "r:") as archive:
            for member in islice(archive, _MAX_ZIPPED_PICKLES):
                if member.isfile() and member.size <= _MAX_PICKLE and (stream := archive.extractfile(member)):
                    read_pickles(stream.read(_MAX_PICKLE), before=merged)
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, EOFError, RecursionError, struct.error) as error:
        raise InputError(f"{file.path} is a damaged tar archive: {error}", "copy or download the file again") from None
    return CheckpointFile(file.path, _TAR, merged)


def _bytes_of(path: Path, count: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(count)
