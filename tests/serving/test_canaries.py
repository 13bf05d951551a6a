"""What clients send, and what this machine keeps secret, is in no line that the server writes."""

from __future__ import annotations

import json
from pathlib import Path

import served_models as made
from live_server import HOST, answer_of, head, serving, tensor

SECRETS = {name: f"canary-{at}-of-the-environment" for at, name in enumerate(("API_TOKEN", "DB_PASSWORD", "MY_SECRET"))}


def test_no_canary_is_ever_sung(tmp_path: Path, small_picture: bytes) -> None:
    with serving(made.adds(tmp_path / "adds.onnx"), folder=tmp_path, environment=SECRETS) as live:
        canary = "canary-of-a-client"
        infer = "/v2/models/adds/infer"
        sound = {"id": canary, "inputs": [tensor("x", [1, 3], "FP32", [1, 2, 3])]}
        headers = {"Authorization": f"Bearer {canary}", "Cookie": canary, "X-Request-Id": canary, canary: canary}
        for path in (
            infer,
            f"/v2/models/{canary}/infer",
            f"/{canary}",
            f"/predict?model={canary}",
            f"{infer}?k={canary}",
        ):
            for method in ("GET", "POST", "PUT"):
                for body in (sound, sound | {"inputs": canary}, {"inputs": [tensor(canary, [1], canary, [canary])]}):
                    live.ask(method, path, json.dumps(body).encode(), headers)
                    live.ask(method, path, json.dumps(body).encode(), {canary: canary})
        for body in (canary.encode(), small_picture[:100] + canary.encode(), small_picture):
            live.ask("POST", "/predict", body, {"Content-Type": f"image/{canary}"})
            live.ask("POST", "/predict", body, {"Content-Type": f"multipart/form-data; boundary={canary}"})
            live.ask("POST", "/v2/models/adds/video", body)
        for data in (canary.encode() * 9, head("GET", f"/{canary}", f"{canary} : x"), head(canary.upper(), "/")):
            with live.raw(data) as connection:
                answer_of(connection)
        for at in range(300):
            live.ask("GET", f"/{canary}/{at}")
        assert live.end() == 0
        said = live.text
    assert "canary" not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(lines) > 30
    assert {line["event"] for line in lines} == {"request", "library", "draining"}
    assert HOST not in "".join(line for line in said.splitlines() if line.startswith("{"))
    by_second: dict[str, int] = {}
    for line in lines:
        second = f"{line['event']} {line['time']}"
        by_second[second] = by_second.get(second, 0) + 1
    assert max(by_second.values()) <= 101  # 50 that were saved up, and 50 a second
    others = [line for line in said.splitlines() if not line.startswith(("{", "note: "))]
    assert not [line for line in others if not line.startswith("libpng ")]  # which nobody can tell to be still
