"""Say what a file is by its content, and everything it tells about itself, without running any of it.

The front of every verb that takes a model. What is not a model gets one clear
sentence about what it looks like instead.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.decoder_family import classes_of
from throughline.models.formats import FORMATS, Description, Format, Glimpse, Risk

__all__ = ["Description", "Risk", "check_labels", "identify"]

_HEAD = 1 << 16

_LOOKS_LIKE = (
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "fetch the model with `git lfs pull`"),
    (b"\x89PNG", "a PNG picture", ""),
    (b"\xff\xd8\xff", "a JPEG picture", ""),
    (b"GIF8", "a GIF picture", ""),
    (b"%PDF", "a PDF document", ""),
    (b"PK\x05\x06", "an empty zip archive", ""),
    (b"PK\x03\x04", "a zip archive without a model in it", "unpack it and give the model file itself"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and give the model file itself"),
    (b"Rar!", "a RAR archive", "unpack it and give the model file itself"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and give the model file itself"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it and give the model file itself"),
    (b"BZh", "a bzip2 archive", "unpack it and give the model file itself"),
    (b"\x7fELF", "a compiled program or library", ""),
    (b"MZ", "a Windows program or library", ""),
    (b"\x89HDF", "an HDF5 file (Keras .h5)", "export the model to ONNX (`tf2onnx`)"),
    (b"GGUF", "a GGUF language model", "this format is not supported; export the model to ONNX"),
    (b"\x93NUMPY", "a NumPy array", ""),
)


def identify(path: str | os.PathLike[str]) -> Description:
    """Describe a model file; an ``InputError`` says why where it is not one."""
    file = glimpse(Path(path))
    formats: dict[str, Format] = {name: FORMATS.make(name) for name in FORMATS.names()}
    owners = [name for name, reader in formats.items() if reader.recognises(file)]
    if len(owners) > 1:
        raise ModelRefused(
            f"{file.path} is {' and '.join(owners)} at once; a file with two readings hides one of them",
            "export the model again",
        )
    if not owners:
        raise _unknown(file)
    description = formats[owners[0]].describe(file)
    suffixes = (*formats[owners[0]].suffixes, *getattr(formats[owners[0]], "shared_suffixes", ()))
    if file.path.suffix.lower() not in suffixes:
        note = (
            f"the name ends in '{file.path.suffix}' but the content is {description.format}, "
            f"whose files end in {' or '.join(suffixes)}"
        )
        description = dataclasses.replace(description, notes=(note, *description.notes))
    return description


def check_labels(description: Description, labels: Sequence[str]) -> None:
    """Refuse labels whose count contradicts the model's outputs; where the shapes do not tell, nothing is refused."""
    classes = classes_of(description.outputs, description.decoder, description.task)
    if labels and classes is not None and classes != len(labels):
        raise InputError(
            f"{description.path}: there are {len(labels)} labels, but the output {description.outputs[0]} "
            f"has room for {classes} classes (read as {description.decoder})",
            f"give the {classes} labels that the model was trained with",
        )


def glimpse(path: Path) -> Glimpse:
    """The first look at a file; an ``InputError`` where there is nothing to look at."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise InputError(f"{path} is a link to a file that does not exist", "check what it points to") from None
        raise InputError(f"{path} does not exist", _neighbours(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", "check the name and the permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise _directory(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file", "give a model file")
    if status.st_size == 0:
        raise InputError(f"{path} is empty (0 bytes)", "copy or download the model again")
    try:
        with path.open("rb") as stream:
            return Glimpse(path, status.st_size, stream.read(_HEAD))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None


def _neighbours(path: Path) -> str:
    try:
        alike = [p.name for p in path.parent.iterdir() if p.stem == path.stem and p.is_file()]
    except OSError:
        return "check the path" if path.parent.is_dir() else f"the folder {path.parent} does not exist either"
    return "beside it there is " + ", ".join(sorted(alike)[:5]) if alike else "check the path"


def _directory(path: Path) -> InputError:
    inside = {entry.name for entry in os.scandir(path)} if os.access(path, os.R_OK | os.X_OK) else set()
    models = sorted(name for name in inside if Path(name).suffix in {".xml", ".onnx", ".pt", ".safetensors", ".engine"})
    if "saved_model.pb" in inside:
        return InputError(f"{path} is a folder: a TensorFlow SavedModel", "export the model to ONNX (`tf2onnx`)")
    if "data.pkl" in inside:
        return InputError(f"{path} is a folder: an unpacked PyTorch checkpoint", "give the .pt file it came from")
    if models:
        return InputError(f"{path} is a folder, not a model file", f"give the file: {path / models[0]}")
    return InputError(f"{path} is a folder, not a model file", "give the model file itself")


def _unknown(file: Glimpse) -> InputError:
    for magic, what, fix in _LOOKS_LIKE:
        if file.head.startswith(magic):
            return InputError(f"{file.path} is {what}", fix or "give a model file")
    if file.head[4:8] == b"TFL3":
        return InputError(f"{file.path} is a TensorFlow Lite model", "export the model to ONNX (`tf2onnx`)")
    text = file.head[:2048].lstrip(b"\xef\xbb\xbf \t\r\n")
    supported = "supported: " + ", ".join(FORMATS.names())
    if _is_text(text):
        lowered = text[:256].lower()
        if lowered.startswith((b"<!doctype html", b"<html", b"<head")):
            what, fix = "an HTML page", "the download gave a web page (a login or an error?); download the model again"
        elif lowered.startswith(b"<"):
            what, fix = "an XML document that is no OpenVINO IR", "give the model's own .xml"
        elif lowered.startswith((b"{", b"[")):
            what, fix = "a JSON document", "give the model file itself"
        else:
            first = text.splitlines()[0][:60].decode("utf-8", "replace") if text else ""
            what, fix = f"a text file (it begins {first!r})", "give the model file itself"
        return InputError(f"{file.path} is {what}, not a model", fix)
    return InputError(
        f"{file.path} is not a model in any format known here (it begins {file.head[:8].hex(' ')})", supported
    )


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == 2048
    return all(byte >= 32 or byte in b"\t\r\n\f" for byte in head)
