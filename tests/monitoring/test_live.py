"""Monitoring beside a server: drift is noticed, answers are joined with what is true, and what was seen is kept."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.observations import Spoke
from throughline.monitoring.live import Live, in_common
from throughline.monitoring.observation_files import read_observations
from throughline.monitoring.observing import observe_frame
from throughline.monitoring.profile import profile_of

pytest.importorskip("pyarrow")
pytest.importorskip("scipy")
SPOKE = Spoke("street", "3", "f" * 64)


def picture(dice: np.random.Generator, light: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.clip(dice.normal(light, 20, (48, 64, 3)), 0, 255).astype(np.uint8)


def seen(dice: np.random.Generator, kind: int = 0) -> Detections:
    count = int(dice.integers(2, 5))
    corner = dice.uniform(0, 20, (count, 2))
    boxes = np.concatenate([corner, corner + dice.uniform(8, 20, (count, 2))], 1).astype(np.float32)
    sure = dice.uniform(0.5, 0.9, count).astype(np.float32)
    return Detections(boxes, sure, np.full(count, kind), labels=("car", "dog"))


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dice = np.random.default_rng(0)
    usual = [
        observe_frame(picture(dice, 120 + dice.normal(0, 3)), seen(dice), request=str(n), seconds=n) for n in range(300)
    ]
    return profile_of(usual).write(tmp_path_factory.mktemp("profile") / "street.profile.json")


def test_drift_is_noticed_told_and_kept(profile: Path, tmp_path: Path) -> None:
    told: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    live = Live(profile, tmp_path / "seen", f"http://127.0.0.1:{hook.server_port}/alarm", keep=5)
    dice, objects = np.random.default_rng(1), list[int]()
    for number in range(240):  # dark from the first, so that two windows have news
        image, found = picture(dice, 40), seen(dice)
        objects.append(len(found))
        live.see(f"r{number}", SPOKE, image, found)
        live.settled()
    truth = ["car"] * int(objects[3]) + ["dog"]
    assert live.told("r3", ", ".join(truth))
    assert not live.told("nobody", "car")
    figures = live.figures()
    live.close()
    hook.shutdown()
    hook.server_close()
    assert figures["street", "brightness alarm"] == 1
    assert figures["", "accuracy"] == pytest.approx(2 * objects[3] / (2 * objects[3] + 1))
    assert figures["", "accuracy of"] == 1
    assert any("brightness" in one["raised"] for one in told)
    kept = list(read_observations(tmp_path / "seen"))
    assert [one.request for one in kept] == [f"r{number}" for number in range(240)]
    pictures = sorted((tmp_path / "seen" / "pictures").glob("*.jpg"))
    assert [str(path) for path in pictures] == [one.picture for one in kept[-5:]]


def test_who_answers_is_never_made_to_wait(tmp_path: Path) -> None:
    live = Live(None, tmp_path / "seen", None)
    dice = np.random.default_rng(2)
    image, found = picture(dice, 100), seen(dice)
    for number in range(5000):
        live.see(str(number), SPOKE, image, found)
    live.settled()
    dropped = live.figures().get(("", "observations dropped"), 0.0)
    live.close()
    assert len(list(read_observations(tmp_path / "seen"))) + dropped == 5000


def test_pictures_need_a_place() -> None:
    with pytest.raises(InputError, match="nothing says where"):
        Live(None, None, None, keep=3)


@pytest.mark.parametrize(
    ("answer", "truth", "worth"),
    [("car", "car", 1), ("car", "dog", 0), ("", "", 1), ("", "car", 0), ("car,car", "car", 2 / 3), ("a,b", "b, a", 1)],
)
def test_what_an_answer_is_worth(answer: str, truth: str, worth: float) -> None:
    assert in_common(answer, truth) == pytest.approx(worth)
