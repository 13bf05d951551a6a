"""Every road from a pickle to code is refused, and the canary proves that the road was real."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import hostile_checkpoints
import hostile_pickles
import pytest

from throughline.contracts.errors import InputError, ModelRefused, ThroughlineError
from throughline.models.identify import identify
from throughline.models.loading import check, load_state_dict
from throughline.models.loading.pickles import read_pickles

FILES = {
    **{
        name: lambda folder, canary, build=build: _written(folder / "m.pt", build(canary))
        for name, build in hostile_pickles.PICKLES.items()
    },
    **hostile_checkpoints.ARCHIVES,
}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", hostile_pickles.PICKLES)
def test_unprotected_the_canary_fires(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = _written(tmp_path / "m.pt", hostile_pickles.PICKLES[name](canary))
    code = f"import pickle, pydoc; pickle.load(open({str(path)!r}, 'rb'))"
    subprocess.run([sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert canary.exists()


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_it_is_refused_and_nothing_runs(name: str, trust: bool, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = FILES[name](tmp_path, canary)
    with pytest.raises((ModelRefused, InputError)) as refusal:
        check(path, trust=trust)
    assert str(path) in refusal.value.problem
    with pytest.raises(type(refusal.value)):
        load_state_dict(path, trust=trust)
    assert not canary.exists()


@pytest.mark.parametrize("name", hostile_pickles.PICKLES)
def test_the_report_names_the_offender(name: str, tmp_path: Path) -> None:
    path = _written(tmp_path / "m.pt", hostile_pickles.PICKLES[name](tmp_path / "canary"))
    risk = identify(path).risk
    assert risk.level == "malicious"
    assert any(
        word in risk.why
        for word in ("system", "eval", "computed", "loads", "run", "import", "pager", "time", "call", "extension")
    )
    assert all(name in risk.globals for name in risk.why.split("import ")[1].split(", which")[0].split(", "))


@pytest.mark.parametrize(
    "data",
    [
        b"(lp0\nVa\np1\naVb\np2\na.",
        b"\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01e.",
        b"\x80\x02}X\x01\x00\x00\x00aK\x01s.",
    ],
)
def test_a_harmless_pickle_is_no_model_and_not_called_dangerous(data: bytes, tmp_path: Path) -> None:
    path = _written(tmp_path / "m.pkl", data)
    with pytest.raises(InputError, match="harmless, but not a model"):
        check(path)


def test_legacy_checkpoints_that_run_code(tmp_path: Path) -> None:
    for build in (hostile_pickles.legacy_checkpoint, hostile_pickles.legacy_with_forged_magic):
        path = _written(tmp_path / "m.pth", build(tmp_path / "canary"))
        with pytest.raises(ModelRefused, match=r"posix\.system"):
            check(path, trust=True)


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("ultralytics.nn.tasks", "DetectionModel", "yolo export"),
        ("models.yolo", "Model", "export.py --weights"),
        ("mmengine.model", "BaseModel", "mmdeploy"),
        ("detectron2.modeling", "GeneralizedRCNN", "export_model.py"),
        ("timm.models.resnet", "ResNet", "timm"),
        ("transformers.models.detr", "DetrModel", "optimum-cli"),
        ("torchvision.models.resnet", "ResNet", "torch.onnx.export"),
        ("my_own.project", "Net", "save the weights alone"),
    ],
)
def test_a_whole_model_is_refused_with_how_to_export_it(module: str, name: str, hint: str, tmp_path: Path) -> None:
    path = hostile_checkpoints.whole_model(tmp_path, module, name)
    with pytest.raises(ModelRefused, match=f"{module}.{name}") as refusal:
        check(path)
    assert hint in refusal.value.fix
    assert check(path, trust=True).risk.level == "program"


def test_weights_beside_plain_python_values_are_not_called_a_whole_model(tmp_path: Path) -> None:
    path = hostile_checkpoints.archive(
        tmp_path / "m.pt", hostile_checkpoints.calling("argparse", "Namespace", b")"), hostile_checkpoints.SIXTEEN
    )
    with pytest.raises(ModelRefused, match=r"weights among Python objects .*argparse.Namespace"):
        check(path)


def test_walking_a_pickle_takes_bounded_steps() -> None:
    reading = read_pickles(b"\x80\x02" + b"N0" * 3_000_000 + b"N.")
    assert reading.broken is not None
    assert "steps" in reading.broken


def test_walking_a_pickle_that_holds_itself_ends() -> None:
    reading = read_pickles(b"\x80\x02]q\x00h\x00a" + b"\x85" * 100_000 + b".")
    assert reading.broken is None


@pytest.mark.parametrize(
    "data",
    [b"\x80\x02R.", b"\x80\x02(R.", b"\x80\x02t.", b"\x80\x02h\x05.", b"\x80\x02\x93.", b"\x80\x02K\x01\x93.",
     b"I\xff\n.", b"\x80\x02\x8b\xff\xff\xff\x7f", b"c\xff\xfe\nx\n.", b"\x80\x05\x97.", b"L" + b"9" * 10_000 + b"L\n.",
     b"\x80\xff\xff"],
)  # fmt: skip
def test_malformed_instructions_are_a_broken_pickle_and_no_exception(data: bytes) -> None:
    reading = read_pickles(data)
    assert reading.broken or reading.roots


def test_only_our_own_errors_leave(tmp_path: Path) -> None:
    path = _written(tmp_path / "m.pt", b"\x80\x02")
    with pytest.raises(ThroughlineError):
        identify(path)


def test_names_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    path = _written(tmp_path / "m.pt", b"\x80\x02cos\x1b[2J\nsys\x07tem\n" + b")R.")
    risk = identify(path).risk
    assert risk.level == "malicious"
    assert all(name.isprintable() for name in risk.globals)
    assert risk.why.isprintable()


def test_a_tensor_of_absurdly_many_dimensions_takes_no_time(tmp_path: Path) -> None:
    code = hostile_checkpoints.tensor((1 << 60,) * 100_000, (1,) * 100_000)
    path = hostile_checkpoints.archive(
        tmp_path / "m.pt", hostile_checkpoints.state_dict(w=code), hostile_checkpoints.SIXTEEN
    )
    start = time.process_time()
    with pytest.raises(InputError):
        check(path)
    assert time.process_time() - start < 10
