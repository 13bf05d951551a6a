from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from safetensors.torch import save_file

from throughline.contracts.artifacts import Passport
from throughline.contracts.errors import InputError, Unavailable
from throughline.models import passport as passports
from throughline.models.choose import FASTEST_FIRST, backend_for, choose
from throughline.models.identify import identify
from throughline.models.session import open_model
from throughline.testing import networks


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(networks.CONVOLUTION.onnx())
    return path


def _ir(folder: Path, name: str = "model") -> Path:
    path = folder / f"{name}.xml"
    openvino.save_model(openvino.Core().read_model(networks.CONVOLUTION.onnx()), path)
    return path


def _engine(folder: Path, magic: bytes = b"ftrt") -> Path:
    path = folder / "model.engine"
    path.write_bytes(magic + bytes(12) + (1024).to_bytes(8, "little") + bytes([11, 4, 0, 0]) + bytes(1024))
    return path


def _vouch(path: Path, parent: Path | str | None = None, machine: dict[str, str] | None = None) -> None:
    tied = passports.digest(parent) if isinstance(parent, Path) else parent
    made = Passport(path.name, "", 0, identify(path).format, parent=tied, machine=machine or {})
    passports.issue(path, made, vouch=True)


def test_the_faster_form_is_taken_when_its_passport_ties_it_to_the_model(onnx: Path) -> None:
    ir = _ir(onnx.parent)
    _vouch(ir, parent=onnx)
    for asked in (onnx, onnx.with_suffix(""), onnx.parent):
        choice = choose(asked)
        assert (choice.path, choice.backend, choice.passed_over) == (ir, "openvino", ())


@pytest.mark.parametrize(
    ("vouch", "reason"),
    [
        (lambda ir, onnx: None, "it has no passport"),
        (
            lambda ir, onnx: _vouch(ir, parent="ab" * 32),
            "ties it to another model, or to another version, than model.onnx",
        ),
        (lambda ir, onnx: _vouch(ir), "ties it to another model"),
        (lambda ir, onnx: _vouch(ir, parent=onnx, machine={"gpu": "NVIDIA Z900"}), "built for gpu NVIDIA Z900"),
        (lambda ir, onnx: (_vouch(ir, parent=onnx), ir.write_text(ir.read_text() + "\n")), "the file changed after"),
        (lambda ir, onnx: (_vouch(ir, parent=onnx), onnx.write_bytes(networks.FIXED.onnx())), "another version"),
    ],
)
def test_a_stale_or_foreign_form_is_passed_over_with_the_reason(
    onnx: Path, vouch: Callable[[Path, Path], object], reason: str
) -> None:
    ir = _ir(onnx.parent)
    vouch(ir, onnx)
    choice = choose(onnx)
    assert (choice.path, choice.backend) == (onnx, "onnxruntime")
    assert [item.path for item in choice.passed_over] == [ir]
    assert reason in choice.passed_over[0].reason
    assert "model.xml is passed over: " in str(choice)


def test_forms_made_from_the_same_parent_are_relatives(onnx: Path) -> None:
    ir = _ir(onnx.parent)
    _vouch(onnx, parent="cd" * 32)
    _vouch(ir, parent="cd" * 32)
    assert choose(onnx).path == ir


def test_relatives_are_found_through_a_form_in_between(onnx: Path) -> None:
    ir = _ir(onnx.parent)
    weights = onnx.with_suffix(".safetensors")
    save_file({"w": torch.ones(2)}, weights)
    _vouch(onnx, parent=weights)
    _vouch(ir, parent=onnx)
    assert choose(weights).path == ir


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="there is something here that runs engines")
@pytest.mark.parametrize(("magic", "backend"), [(b"ftrt", "tensorrt"), (b"vtrt", "tensorrt_rtx")])
def test_an_engine_that_nothing_here_can_run_is_passed_over(onnx: Path, magic: bytes, backend: str) -> None:
    engine = _engine(onnx.parent, magic)
    _vouch(engine, parent=onnx)
    assert backend_for(identify(engine)) == backend
    choice = choose(onnx)
    assert choice.path == onnx
    assert f"backend '{backend}' needs" in choice.passed_over[0].reason


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="there is something here that runs engines")
def test_nothing_that_can_be_run_is_an_error_with_every_reason(tmp_path: Path) -> None:
    engine = _engine(tmp_path)
    with pytest.raises(Unavailable, match=r"model\.engine is passed over: backend 'tensorrt' needs"):
        choose(engine)


def test_a_broken_sibling_does_not_stop_the_choice(onnx: Path) -> None:
    onnx.with_suffix(".engine").write_text("not an engine")
    choice = choose(onnx)
    assert choice.path == onnx
    assert "a text file" in choice.passed_over[0].reason


def test_a_folder_of_several_models_and_one_of_none(tmp_path: Path, onnx: Path) -> None:
    _ir(tmp_path, "other")
    with pytest.raises(InputError, match="holds 2 models: model, other"):
        choose(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder, not a model file"):
        choose(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        choose(tmp_path / "nothing")


def test_another_stem_is_another_model(onnx: Path) -> None:
    other = _ir(onnx.parent, "model_int8")
    _vouch(other, parent=onnx)
    assert choose(onnx).path == onnx


def test_opening_a_stem_opens_the_choice_and_a_file_opens_that_file(onnx: Path) -> None:
    ir = _ir(onnx.parent)
    _vouch(ir, parent=onnx)
    feeds = networks.CONVOLUTION.feeds(2)
    with open_model(onnx.with_suffix("")) as chosen, open_model(onnx) as named:
        assert (chosen.backend, named.backend) == ("openvino", "onnxruntime")
        np.testing.assert_allclose(chosen.predict(feeds)["scores"], named.predict(feeds)["scores"], atol=5e-3)


def test_what_was_passed_over_is_said_when_a_stem_is_opened(onnx: Path) -> None:
    _ir(onnx.parent)
    with open_model(onnx.parent) as session:
        assert session.notes == ("model.xml is passed over: it has no passport",)


def test_every_format_has_a_place_in_the_order() -> None:
    from throughline.models.formats import FORMATS

    assert set(FORMATS.names()) == set(FASTEST_FIRST)
