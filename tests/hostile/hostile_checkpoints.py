"""PyTorch archives built by hand: honest ones, ones that run code, and ones that claim what they do not hold."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hostile_pickles import by_global, second_of_two


def archive(path: Path, pickled: bytes, storages: Mapping[str, bytes] | None = None, **more: bytes) -> Path:
    """A zip archive as ``torch.save`` lays it out."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        target.writestr("archive/data.pkl", pickled)
        target.writestr("archive/version", b"3\n")
        for key, data in (storages or {}).items():
            target.writestr(f"archive/data/{key}", data)
        for name, data in more.items():
            target.writestr(f"archive/{name}", data)
    return path


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _number(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


def tensor(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    key: str = "0",
    elements: int = 4,
    offset: int = 0,
    storage: str = "FloatStorage",
) -> bytes:
    """The instructions that rebuild one tensor."""
    reference = b"(" + _text("storage") + b"ctorch\n" + storage.encode() + b"\n" + _text(key) + _text("cpu")
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + _number(elements) + b"tQ" + _number(offset)
    return rebuilt + _tuple(shape) + _tuple(strides) + b"\x89ccollections\nOrderedDict\n)RtR"


def state_dict(**tensors: bytes) -> bytes:
    """A pickle of a dictionary of these."""
    return b"\x80\x02}(" + b"".join(_text(name) + code for name, code in tensors.items()) + b"u."


HONEST = state_dict(weight=tensor((2, 2), (2, 1)))
SIXTEEN = {"0": b"\x00" * 16}


def honest(folder: Path) -> Path:
    return archive(folder / "honest.pt", HONEST, SIXTEEN)


def absurd_storage(folder: Path) -> Path:
    huge = 1 << 40
    return archive(folder / "m.pt", state_dict(w=tensor((huge,), (1,), elements=huge)), SIXTEEN)


def storage_shorter_than_shape(folder: Path) -> Path:
    return archive(folder / "m.pt", state_dict(w=tensor((64, 64), (64, 1))), SIXTEEN)


def strides_of_zero(folder: Path) -> Path:
    return archive(folder / "m.pt", state_dict(w=tensor((1 << 20, 1 << 20), (0, 0))), SIXTEEN)


def offset_beyond_storage(folder: Path) -> Path:
    return archive(folder / "m.pt", state_dict(w=tensor((2,), (1,), offset=1 << 30)), SIXTEEN)


def negative_stride(folder: Path) -> Path:
    return archive(folder / "m.pt", state_dict(w=tensor((2, 2), (-2, 1), offset=3)), SIXTEEN)


def storage_that_is_not_there(folder: Path) -> Path:
    return archive(folder / "m.pt", state_dict(w=tensor((2, 2), (2, 1), key="7")), SIXTEEN)


CLAIMS = {
    builder.__name__: builder
    for builder in (
        absurd_storage, storage_shorter_than_shape, strides_of_zero, offset_beyond_storage, negative_stride,
        storage_that_is_not_there,
    )
}  # fmt: skip


def calling(module: str, name: str, arguments: bytes) -> bytes:
    """A state dict beside which one more function is called."""
    return (
        b"\x80\x02}("
        + _text("w")
        + tensor((2, 2), (2, 1))
        + _text("x")
        + (b"c" + module.encode() + b"\n" + name.encode() + b"\n" + arguments + b"Ru.")
    )


# PyTorch's own list admits each of these; ours does not.
WIDER_THAN_OURS = {
    "a_bytearray_of_any_size": calling("builtins", "bytearray", _number(1 << 40) + b"\x85"),
    "a_tensor_of_any_size": calling("torch", "FloatTensor", _number(1 << 40) + b"\x85"),
    "a_subclass_with_any_state": calling("torch._tensor", "_rebuild_from_type_v2", b")"),
    "a_sparse_tensor": calling("torch._utils", "_rebuild_sparse_tensor", b"))\x86"),
    "a_wrapper_subclass": calling("torch._utils", "_rebuild_wrapper_subclass", b")"),
    "a_counter_that_counts": calling("collections", "Counter", b")"),
}


def zip_with_a_name_twice(folder: Path, canary: Path) -> Path:
    path = archive(folder / "m.pt", by_global(canary), SIXTEEN)
    _append(path, "archive/datb.pkl", HONEST)
    path.write_bytes(path.read_bytes().replace(b"archive/datb.pkl", b"archive/data.pkl"))
    return path


def zip_that_names_it_otherwise(folder: Path, canary: Path) -> Path:
    """The directory says one name, the entry itself another: which one is read depends on who reads."""
    path = archive(folder / "m.pt", by_global(canary), SIXTEEN)
    return _patch_first(path, b"archive/data.pkl", b"archive/data.txt")


def zip_marked_as_encrypted(folder: Path, canary: Path) -> Path:
    path = archive(folder / "m.pt", by_global(canary), SIXTEEN)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    path.write_bytes(data)
    return path


def zip_marked_as_patched(folder: Path, canary: Path) -> Path:
    path = archive(folder / "m.pt", by_global(canary), SIXTEEN)
    data = bytearray(path.read_bytes())
    data[6] |= 0x20
    path.write_bytes(data)
    return path


def zip_behind_other_bytes(folder: Path, canary: Path) -> Path:
    """An archive inside the first entry's bytes, shifted: the directory does not start where the file does."""
    inner = archive(folder / "inner.zip", by_global(canary), SIXTEEN).read_bytes()
    (folder / "inner.zip").unlink()
    path = folder / "m.pt"
    path.write_bytes(b"PK\x03\x04" + b"\x00" * 60 + inner)
    return path


def zip_of_anything(folder: Path, canary: Path) -> Path:
    path = folder / "weights.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("notes.txt", by_global(canary))
    return path


def zip_checkpoint(folder: Path, canary: Path) -> Path:
    return archive(folder / "m.pt", by_global(canary), SIXTEEN)


def zip_with_a_second_pickle(folder: Path, canary: Path) -> Path:
    return archive(folder / "m.pt", HONEST, SIXTEEN, **{"extra.pkl": by_global(canary)})


def bare_second_pickle(folder: Path, canary: Path) -> Path:
    path = folder / "m.pt"
    path.write_bytes(second_of_two(canary))
    return path


def tar_checkpoint(folder: Path, canary: Path) -> Path:
    path = folder / "m.pth"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as target:
        for name, data in (("sys_info", b"\x80\x02}."), ("pickle", by_global(canary)), ("storages", b"\x80\x02K\x00.")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
    return path


ARCHIVES = {
    builder.__name__: builder
    for builder in (
        zip_with_a_name_twice, zip_that_names_it_otherwise, zip_marked_as_encrypted, zip_marked_as_patched,
        zip_behind_other_bytes, zip_of_anything, zip_checkpoint, zip_with_a_second_pickle, bare_second_pickle,
        tar_checkpoint,
    )
}  # fmt: skip


def zip_bomb(folder: Path) -> Path:
    path = folder / "m.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        target.writestr("archive/data.pkl", HONEST)
        with target.open("archive/data/0", "w") as entry:
            for _ in range(40):
                entry.write(b"\x00" * (1 << 20))
    return path


def zip_that_declares_more(folder: Path) -> Path:
    """A stored entry whose declared size is larger than what is there."""
    path = archive(folder / "m.pt", HONEST, SIXTEEN)
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", 1 << 20)
    path.write_bytes(data)
    return path


def zip_with_overlapping_entries(folder: Path) -> Path:
    path = archive(folder / "m.pt", HONEST, SIXTEEN)
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(data)
    return path


BROKEN_ARCHIVES = {
    builder.__name__: builder for builder in (zip_bomb, zip_that_declares_more, zip_with_overlapping_entries)
}


def whole_model(folder: Path, module: str, name: str) -> Path:
    """A checkpoint of an object of some project, as ``torch.save(model)`` writes it."""
    made = b"\x80\x02}" + _text("model") + b"c" + module.encode() + b"\n" + name.encode() + b"\n)\x81}"
    return archive(folder / "m.pt", made + b"(" + _text("weight") + tensor((2, 2), (2, 1)) + b"ubs.", SIXTEEN)


def _append(path: Path, name: str, data: bytes) -> None:
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(name, data)


def _patch_first(path: Path, old: bytes, new: bytes) -> Path:
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    return path
