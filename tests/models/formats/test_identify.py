"""What is not a model gets one clear sentence; what is one is known by its content, whatever its name."""

from __future__ import annotations

import os
from pathlib import Path

import hostile_checkpoints
import hostile_graphs
import pytest

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.formats import FORMATS
from throughline.models.identify import identify


def _file(folder: Path, data: bytes, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "a Git LFS pointer"),
        (b'{"error": "not found"}', "a JSON document"),
        (b"<root><child/></root>", "an XML document that is no OpenVINO IR"),
        (b"person\nbicycle\ncar\n", "a text file (it begins 'person')"),
        (b"cat\ndog\nhorse\n", "a text file (it begins 'cat')"),
        ("modèle à télécharger\n".encode(), "a text file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "a PNG picture"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(64), "a 7-Zip archive"),
        (b"\x1f\x8b\x08" + bytes(64), "a gzip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
        (b"GGUF" + bytes(64), "a GGUF language model"),
        (b"\x18\x00\x00\x00TFL3" + bytes(64), "a TensorFlow Lite model"),
        (bytes(range(1, 200)), "not a model in any format known here (it begins 01 02 03"),
    ],
)
def test_what_it_looks_like_is_said(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        identify(_file(tmp_path, data))
    assert words in error.value.problem
    assert error.value.fix


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="does not exist") as error:
        identify(tmp_path / "m.pt")
    assert "m.onnx" in error.value.fix
    with pytest.raises(InputError, match="does not exist"):
        identify(tmp_path / "no" / "such" / "m.pt")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="a link to a file that does not exist"):
        identify(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        identify(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot be read"):
        identify(tmp_path / ("x" * 300))
    with pytest.raises(InputError, match="cannot be read"):
        identify("a\x00b")


@pytest.mark.parametrize(
    ("inside", "words", "fix"),
    [
        ("saved_model.pb", "a TensorFlow SavedModel", "tf2onnx"),
        ("data.pkl", "an unpacked PyTorch checkpoint", ".pt"),
        ("model.xml", "is a folder, not a model file", "model.xml"),
        ("readme.txt", "is a folder, not a model file", "the model file itself"),
    ],
)
def test_a_folder_is_said_to_be_what_it_could_mean(inside: str, words: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / inside).write_bytes(b"x")
    with pytest.raises(InputError, match=words) as error:
        identify(tmp_path)
    assert fix in error.value.fix


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["honest.onnx", "honest.pt", "honest.safetensors", "honest.xml"])
def test_a_file_cut_short_is_called_so(name: str, keep: float, tmp_path: Path) -> None:
    whole = honest_files(tmp_path)[name].read_bytes()
    path = _file(tmp_path, whole[: int(len(whole) * keep)], name)
    with pytest.raises(InputError, match=r"damaged|cut short|no OpenVINO"):
        identify(path)


@pytest.mark.parametrize("name", ["honest.onnx", "honest.pt", "honest.safetensors"])
def test_a_wrong_extension_changes_nothing_and_is_noted(name: str, tmp_path: Path) -> None:
    path = honest_files(tmp_path)[name]
    described = identify(path)
    assert described.notes == tuple(note for note in described.notes if "the name ends in" not in note)
    renamed = path.rename(path.with_suffix(".weights"))
    again = identify(renamed)
    assert (again.format, again.kind, again.parameters) == (described.format, described.kind, described.parameters)
    assert "ends in '.weights' but the content is" in again.notes[0]


def test_a_file_that_is_two_things_at_once_is_refused(tmp_path: Path) -> None:
    """The head of a safetensors file whose length is that of an ONNX field is the only overlap that bytes allow."""
    import zipfile

    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as target:
        for entry in ("archive_format", "constants.pkl", "data.pkl"):
            target.writestr(f"m/{entry}", hostile_checkpoints.HONEST)
    with pytest.raises((InputError, ModelRefused)):
        identify(path)


def test_every_format_describes_itself() -> None:
    estimators = {"lightgbm", "skops", "xgboost"}
    networks = {"checkpoint", "onnx", "openvino", "pt2", "safetensors", "tensorrt", "torchscript"}
    assert set(FORMATS.names()) == networks | estimators
    for name in FORMATS.names():
        assert FORMATS.get(name).summary
        assert all(suffix.startswith(".") for suffix in FORMATS.make(name).suffixes)


def honest_files(folder: Path) -> dict[str, Path]:
    """One small file of each format that needs no framework to be made."""
    inside = folder / "honest"
    inside.mkdir(exist_ok=True)
    onnx = hostile_graphs.saved(inside, hostile_graphs.model()).rename(inside / "honest.onnx")
    ir = hostile_graphs.ir(inside)
    (inside / "m.bin").rename(inside / "honest.bin")
    header = b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
    tensors = _file(inside, len(header).to_bytes(8, "little") + header + bytes(16), "honest.safetensors")
    return {
        "honest.onnx": onnx,
        "honest.pt": hostile_checkpoints.honest(inside),
        "honest.safetensors": tensors,
        "honest.xml": ir.rename(inside / "honest.xml"),
    }
