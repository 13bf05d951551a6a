"""Read a zip archive that may have been made to deceive.

Python, PyTorch and scanners each read zip files a little differently, and that
difference is where a payload hides: a name in the entry that its directory does
not have, a name given twice, a flag that one reader honours. What two readers
could see differently is refused here, before anything is read from it.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import InputError, ModelRefused

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_MAX_ENTRIES = 200_000
_MAX_DIRECTORY = 32 << 20
_MAX_INFLATED = 8 << 30
_INFLATED_RATIO = 200


@dataclass(frozen=True, slots=True)
class Archive:
    """The directory of a zip archive whose every entry agrees with it."""

    path: Path
    entries: Mapping[str, zipfile.ZipInfo]

    @property
    def root(self) -> str:
        """The folder that holds everything, as PyTorch writes it, with its slash; empty where there is none."""
        roots = {name.partition("/")[0] for name in self.entries if "/" in name}
        return f"{roots.pop()}/" if len(roots) == 1 and all("/" in name for name in self.entries) else ""

    def has(self, name: str) -> bool:
        """Whether there is such an entry under the root."""
        return self.root + name in self.entries

    def read(self, name: str, limit: int = 1 << 28) -> bytes:
        """One entry by its full name, refused where it is longer than ``limit``."""
        entry = self.entries[name]
        if entry.file_size > limit:
            raise ModelRefused(
                f"{self.path}: the entry '{name}' declares {entry.file_size:,} bytes; at most {limit:,} are read",
                "export the model again",
            )
        data = self.begin(name, entry.file_size)
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise InputError(
                f"{self.path}: the entry '{name}' is not what it was when it was written (its checksum differs)",
                "copy or download the file again",
            )
        return data

    def begin(self, name: str, count: int) -> bytes:
        """The first ``count`` bytes of an entry."""
        entry = self.entries[name]
        with self.path.open("rb") as stream:
            stream.seek(entry.header_offset)
            header = _LOCAL.unpack(stream.read(_LOCAL.size))
            stream.seek(header[9] + header[10], 1)
            if entry.compress_type == zipfile.ZIP_STORED:
                return stream.read(min(count, entry.file_size))
            try:
                packed = stream.read(entry.compress_size)
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, min(count, entry.file_size) or 1)
            except zlib.error as error:
                raise InputError(
                    f"{self.path}: the entry '{name}' cannot be unpacked: {error}", "copy or download the file again"
                ) from None


def open_archive(path: Path) -> Archive:
    """The archive's directory, once it is known to be honest."""
    if (length := _directory_length(path)) > _MAX_DIRECTORY:
        raise _refused(path, f"its directory has {length:,} bytes; at most {_MAX_DIRECTORY:,} are read")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile:
        raise InputError(
            f"{path} begins as a zip archive and ends without its directory: it is cut short or damaged",
            "copy or download the file again",
        ) from None
    except (OSError, ValueError, NotImplementedError, EOFError, struct.error) as error:
        raise InputError(f"{path} is a damaged zip archive: {error}", "copy or download the file again") from None
    if len(infos) > _MAX_ENTRIES:
        raise _refused(path, f"it has {len(infos):,} entries; at most {_MAX_ENTRIES:,} are allowed")
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in entries:
            raise _refused(path, f"two entries are named '{info.filename}', so that two readers may see two files")
        entries[info.filename] = info
    size = path.stat().st_size
    _check_sizes(path, infos, size)
    with path.open("rb") as stream:
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if not 0 <= info.header_offset < size:
                raise _refused(path, f"the entry '{info.filename}' is said to be outside the file")
            stream.seek(info.header_offset)
            header = stream.read(_LOCAL.size)
            if info.header_offset < end:
                raise _refused(path, f"the entry '{info.filename}' overlaps the one before it")
            end = _check_local(path, info, header, stream.read(1 << 16), size)
    if infos and min(info.header_offset for info in infos) != 0:
        raise _refused(path, "there are bytes before its first entry, which another reader could take for the file")
    return Archive(path, entries)


def _directory_length(path: Path) -> int:
    """What the end of the archive says of its directory's length; 0 where there is no such end."""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - (1 << 16) - 128, 0))
        tail = stream.read()
    end, end64 = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    short = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    long = int.from_bytes(tail[end64 + 40 : end64 + 48], "little") if end64 >= 0 else 0
    return long if short == 0xFFFFFFFF else short


def _check_sizes(path: Path, infos: list[zipfile.ZipInfo], size: int) -> None:
    declared = sum(info.file_size for info in infos)
    if declared > max(_INFLATED_RATIO * size, 1 << 20) or declared > max(size, _MAX_INFLATED):
        raise _refused(path, f"its {size:,} bytes declare {declared:,} once unpacked, as a zip bomb does")


def _check_local(path: Path, info: zipfile.ZipInfo, header: bytes, rest: bytes, size: int) -> int:
    if len(header) != _LOCAL.size or header[:4] != b"PK\x03\x04":
        raise _refused(path, f"the entry '{info.filename}' is not where the directory says")
    _, _, flags, method, _, _, _, stored, _, name_length, extra_length = _LOCAL.unpack(header)
    name = rest[:name_length]
    if (info.flag_bits ^ flags) & ~0x0808:
        raise _refused(path, f"the entry '{info.filename}' has flags that its directory denies")
    if flags & 0x41 and method == zipfile.ZIP_STORED and info.file_size == info.compress_size:
        raise _refused(path, f"the entry '{info.filename}' is marked as encrypted and is not")
    if flags & 0x41:
        raise InputError(f"{path} is an encrypted zip archive", "unpack it with its password and give the model file")
    if flags & 0x20:
        raise _refused(path, f"the entry '{info.filename}' is a patch to another file")
    if name not in (info.filename.encode("utf-8", "replace"), info.filename.encode("cp437", "replace")):
        hidden = name.decode("utf-8", "replace")
        raise _refused(path, f"the entry called '{info.filename}' in the directory calls itself '{hidden}'")
    if method != info.compress_type or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(path, f"the entry '{info.filename}' is packed by method {method}; only 0 and 8 are allowed")
    if method == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise _refused(path, f"the entry '{info.filename}' is stored, but its two sizes differ")
    end: int = info.header_offset + _LOCAL.size + name_length + extra_length + info.compress_size
    if not flags & 0x08 and stored not in (info.compress_size, 0xFFFFFFFF):
        raise _refused(path, f"the entry '{info.filename}' has a size that its directory denies")
    if end > size:
        raise InputError(f"{path}: the entry '{info.filename}' ends past the file: it is cut short", "copy it again")
    return end


def _refused(path: Path, what: str) -> ModelRefused:
    return ModelRefused(f"{path} is a zip archive made to deceive: {what}", "get the model from its author again")
