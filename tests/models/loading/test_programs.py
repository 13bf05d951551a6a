"""TorchScript, exported programs and engines run code when opened: refused, unless somebody vouches."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import hostile_checkpoints
import hostile_pickles
import pytest

from throughline.contracts.errors import ModelRefused
from throughline.models.identify import identify
from throughline.models.loading import check, require_trust


def _zip(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, data in entries.items():
            target.writestr(f"m/{name.replace('__', '/')}", data)
    return path


def torchscript(folder: Path) -> Path:
    path = folder / "m.torchscript"
    with zipfile.ZipFile(path, "w") as target:
        weights = hostile_checkpoints.HONEST.removeprefix(b"\x80\x02").removesuffix(b".")
        target.writestr("m/data.pkl", b"\x80\x02c__torch__\nM\n)\x81" + weights + b"b.")
        target.writestr("m/constants.pkl", b"\x80\x02).")
        target.writestr(
            "m/code/__torch__.py",
            b"class M(Module):\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n    pass",
        )
        target.writestr(
            "m/extra/config.txt", b'{"names": {"0": "cat", "1": "dog"}, "stride": "32", "imgsz": "[64, 96]"}'
        )
    return path


def engine(folder: Path) -> Path:
    path = folder / "m.engine"
    path.write_bytes(b"ftrt" + bytes(12) + (64).to_bytes(8, "little") + bytes([10, 13, 2, 6]) + bytes(36))
    return path


def rtx_engine(folder: Path) -> Path:
    path = folder / "m.engine"
    path.write_bytes(b"vtrt" + bytes(12) + (64).to_bytes(8, "little") + bytes([1, 7, 1, 116]) + bytes(36))
    return path


def exported_program(folder: Path, **more: bytes) -> Path:
    return _zip(folder / "m.pt2", archive_format=b"pt2", models__model__json=b"{}", **more)


def _pt2(folder: Path, name: str, data: bytes) -> Path:
    path = folder / "m.pt2"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("m/archive_format", b"pt2")
        target.writestr("m/models/model.json", b"{}")
        target.writestr(f"m/{name}", data)
    return path


PROGRAMS = {
    "torchscript": torchscript,
    "tensorrt": engine,
    "tensorrt_rtx": rtx_engine,
    "pt2": lambda folder: _pt2(folder, "data/sample_inputs/model.pt", hostile_checkpoints.HONEST),
    "pt2_with_a_library": lambda folder: _pt2(folder, "data/aotinductor/model/wrapper.so", b"\x7fELF"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_needs_a_passport_or_trust(name: str, tmp_path: Path) -> None:
    path = PROGRAMS[name](tmp_path)
    with pytest.raises(ModelRefused, match="is a program") as refusal:
        check(path)
    assert "--trust" in refusal.value.fix
    assert "passport" in refusal.value.fix
    assert check(path, trust=True).risk.level == "program"
    assert check(path, passport_holds=True).risk.level == "program"


def test_what_a_program_says_of_itself_is_read_without_running_it(tmp_path: Path) -> None:
    description = identify(torchscript(tmp_path))
    assert (description.labels, description.stride, description.imgsz) == (("cat", "dog"), 32, (64, 96))
    assert description.parameters == 4
    assert description.metadata["forward"] == "(x: Tensor) -> Tensor"
    assert "10.13.2.6" in identify(engine(tmp_path)).kind


@pytest.mark.parametrize(
    "name", ["data/sample_inputs/model.pt", "data/constants/opaque_obj_0", "data/weights/weight_0.pt"]
)
def test_an_exported_program_that_carries_code_is_refused_even_with_trust(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = _pt2(tmp_path, name, hostile_pickles.by_global(canary))
    with pytest.raises(ModelRefused, match=r"posix\.system"):
        check(path, trust=True, passport_holds=True)
    nested = hostile_checkpoints.archive(tmp_path / "inner.pt", hostile_pickles.by_global(canary)).read_bytes()
    with pytest.raises(ModelRefused, match=r"posix\.system"):
        check(_pt2(tmp_path, name, nested), trust=True, passport_holds=True)
    assert not canary.exists()


def test_opening_such_a_program_unprotected_runs_its_code(tmp_path: Path) -> None:
    """Why a .pt2 counts as a program: the framework's own loader runs what lies in its sample inputs."""
    pytest.importorskip("torch")
    canary = tmp_path / "canary"
    inner = tmp_path / "inner.pt"
    inner.write_bytes(hostile_checkpoints.archive(inner, hostile_pickles.by_global(canary)).read_bytes())
    script = tmp_path / "unprotected.py"
    script.write_text(
        f"""
import warnings, zipfile, torch
warnings.simplefilter("ignore")
torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), "honest.pt2")
with zipfile.ZipFile("honest.pt2") as source, zipfile.ZipFile("hostile.pt2", "w") as target:
    for name in source.namelist():
        inputs = "sample_inputs" in name
        target.writestr(name, open({str(inner)!r}, "rb").read() if inputs else source.read(name))
try:
    torch.export.load("hostile.pt2")
except Exception as error:
    print(error)
"""
    )
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, capture_output=True)
    assert canary.exists()
    canary.unlink()
    assert identify(tmp_path / "honest.pt2").risk.level == "program"
    with pytest.raises(ModelRefused, match=r"posix\.system"):
        check(tmp_path / "hostile.pt2", trust=True)
    assert not canary.exists()


def test_trust_is_asked_of_programs_only(tmp_path: Path) -> None:
    require_trust(identify(hostile_checkpoints.honest(tmp_path)), passport_holds=False, trust=False)
