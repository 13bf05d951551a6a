from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline import hardware, settings
from throughline.contracts.errors import InputError, SettingsError
from throughline.settings import Config

values = st.fixed_dictionaries(
    {},
    optional={
        "device": st.sampled_from(["auto", "cpu", "gpu", "gpu:3"]),
        "backend": st.sampled_from(["auto", "onnxruntime", "openvino"]),
        "threads": st.integers(0, 1024),
        "batch": st.integers(0, 1024),
        "half": st.booleans(),
        "imgsz": st.integers(32, 16384),
        "conf": st.floats(0, 1),
        "iou": st.floats(0, 1),
        "max_det": st.integers(1, 100_000),
    },
)


@given(values, st.sampled_from(["toml", "json"]))
def test_save_then_load_is_the_identity(tmp_path_factory: pytest.TempPathFactory, given: dict, kind: str) -> None:
    config = Config().updated(given, "test")
    path = tmp_path_factory.mktemp("settings") / f"saved.{kind}"
    config.save(path)
    assert Config.load(path) == config


@given(values, values, values)
def test_the_flag_beats_the_environment_beats_the_file_beats_the_profile_beats_the_default(
    tmp_path_factory: pytest.TempPathFactory, in_file: dict, in_environment: dict, as_flags: dict
) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.json"
    path.write_text(json.dumps({"profile": "debug", **in_file}))
    environment = {f"THROUGHLINE_{name.upper()}": str(value) for name, value in in_environment.items()}
    config = settings.resolve(config=path, flags=as_flags, environment=environment)
    layers = [
        (as_flags, lambda name: "flag"),
        (in_environment, lambda name: f"THROUGHLINE_{name.upper()}"),
        (in_file, lambda name: str(path)),
        ({"device": "cpu", "threads": 1, "batch": 1, "half": False}, lambda name: "profile debug"),
    ]
    for name, value in config.values().items():
        expected = next(((layer[name], who(name)) for layer, who in layers if name in layer), None)
        if expected is None:
            assert value == getattr(Config(), name)
            assert name not in config.origin
        else:
            assert (value, config.origin[name]) == expected


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"THROUGHLINE_DEVISE": "cpu"}, ["THROUGHLINE_DEVISE", "did you mean 'THROUGHLINE_DEVICE'"]),
        ({"THROUGHLINE_BATCH": "many"}, ["THROUGHLINE_BATCH", "'many'", "0 to 1024"]),
        ({"THROUGHLINE_CONF": "nan"}, ["nan", "0 to 1"]),
        ({"THROUGHLINE_HALF": "maybe"}, ["'maybe'", "true or false"]),
        ({"THROUGHLINE_PROFILE": "big_cpu"}, ["big_cpu", "big_gpu"]),
        ({"THROUGHLINE_DEVICE": "tpu"}, ["'tpu'", "auto, cpu, gpu or gpu:N"]),
        ({"THROUGHLINE_CONFIG": "nowhere.toml"}, ["nowhere.toml", "no such file"]),
    ],
)
def test_what_nobody_can_mean_is_an_error_that_names_what_is_allowed(environment: dict, told: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.resolve(environment=environment)
    assert all(words in str(caught.value) for words in told), caught.value


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", "devise = 'cpu'", "did you mean 'device'"),
        ("a.toml", "batch = 'eight'", "whole number"),
        ("a.toml", "batch = true", "whole number"),
        ("a.toml", "batch = 1025", "0 to 1024"),
        ("a.toml", "conf = inf", "0 to 1"),
        ("a.toml", "device = ", "not TOML"),
        ("a.json", "{", "not JSON"),
        ("a.json", "[1]", "name = value"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.toml", "profile = 3", "cpu, debug"),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Config.load(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.toml or \.json"):
        Config().save(tmp_path / "settings.yaml")
    with pytest.raises(InputError, match="cannot write"):
        Config().save(tmp_path / "absent" / "settings.toml")
    assert not list(tmp_path.rglob("*settings*"))


def test_validate_checks_what_the_constructor_took() -> None:
    assert Config(batch=3).validate() == Config(batch=3)
    with pytest.raises(SettingsError, match="0 to 1024"):
        Config(batch=-1).validate()
    with pytest.raises(SettingsError, match="a number"):
        Config(conf="high").validate()  # type: ignore[arg-type]


def test_every_profile_loads_and_detection_names_one_of_them() -> None:
    assert settings.profiles() == ("big_gpu", "cpu", "debug", "small_gpu")
    for name in settings.profiles():
        assert Config.from_profile(name).validate().origin["device"] == f"profile {name}"
    assert Config.auto_detect().device == ("gpu:0" if hardware.detect().gpus else "cpu")


def test_settings_for_a_resolution_shrink_with_it_and_never_pass_the_largest_batch() -> None:
    config = Config(batch=1024, imgsz=640)
    full_hd, uhd, uhd2 = (config.get_optimal_settings_for_resolution(w, w * 9 // 16) for w in (1920, 3840, 7680))
    assert (full_hd.scale, uhd.scale, uhd2.scale) == (640 / 1920, 640 / 3840, 640 / 7680)
    assert full_hd.batch >= uhd.batch >= uhd2.batch >= 1
    assert full_hd.batch > uhd2.batch
    assert Config(batch=8).get_optimal_settings_for_resolution(1920, 1080).batch <= 8
    assert config.get_optimal_settings_for_resolution(320, 240).scale == 1.0
    with pytest.raises(SettingsError, match="0x1080"):
        config.get_optimal_settings_for_resolution(0, 1080)


def test_the_working_folder_may_hold_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "throughline.toml").write_text("conf = 0.6")
    assert settings.resolve(environment={}).conf == 0.6
    assert settings.resolve(environment={}).origin["conf"] == "throughline.toml"
