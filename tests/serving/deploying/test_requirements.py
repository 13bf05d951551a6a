"""What is installed where the model runs is what runs here."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import throughline
from throughline.contracts.errors import MissingExtra
from throughline.serving.deploying._requirements import pack_wheel, pins


def test_every_package_is_pinned_to_the_version_that_is_here_and_each_once() -> None:
    found = [Requirement(line) for line in pins("serve")]
    names = [one.name for one in found]
    assert names == sorted(set(names))
    assert {"numpy", "onnxruntime", "uvicorn", "grpcio", "protobuf"} <= {*names}
    assert not {"throughline", "torch", "pytest"} & {*names}
    for one in found:
        assert one.specifier.contains(version(one.name).partition("+")[0])
    assert {*pins()} < {*pins("serve")}


def test_an_extra_that_is_not_whole_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from throughline.serving.deploying import _requirements

    real = _requirements.distribution

    def without(name: str) -> object:
        if name == "uvicorn":
            raise _requirements.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(_requirements, "distribution", without)
    with pytest.raises(MissingExtra, match="uvicorn"):
        pins("serve")


def test_the_wheel_installs_and_is_this_very_code(tmp_path: Path) -> None:
    wheel = pack_wheel(tmp_path)
    assert wheel.name == f"throughline-{throughline.__version__}-py3-none-any.whl"
    (tmp_path / "again").mkdir()
    assert pack_wheel(tmp_path / "again").read_bytes() == wheel.read_bytes()
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True)
    clean = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    told = subprocess.run(["throughline", "--version"], env=clean, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == f"throughline {throughline.__version__}"
    (there,) = home.glob("lib/python3*/site-packages/throughline")
    here = Path(throughline.__file__).parent
    for path in (*here.rglob("*.py"), *here.rglob("*.toml"), *here.rglob("*.onnx")):
        assert (there / path.relative_to(here)).read_bytes() == path.read_bytes()
