"""The dashboard in a real browser: it shows what happens, and asks nobody else for anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from live_server import Live, tensor

pytestmark = pytest.mark.browser
SOUND = {"inputs": [tensor("x", [1, 3], "FP32", [1, 2, 3])]}


@pytest.mark.parametrize("dark", [False, True])
def test_what_happens_is_shown(live: Live, chromium: str, tmp_path: Path, dark: bool) -> None:
    for _ in range(20):
        assert live.ask("POST", "/v2/models/adds/infer", SOUND)[0] == 200
    assert live.ask("POST", "/v2/models/adds/infer", b"nonsense")[0] == 400
    with Browser(chromium, tmp_path / "profile", dark=dark) as browser:
        browser.open(f"http://127.0.0.1:{live.port}/")
        browser.until("document.getElementById('word').textContent == 'ready'")
        browser.until("document.querySelectorAll('#models tr').length > 1")
        browser.until("document.querySelectorAll('#rates path').length == 2")
        rows = browser.value("document.getElementById('models').innerText")
        assert "adds" in rows
        assert "100 %" in rows
        assert "input" in browser.value("document.getElementById('errors').innerText")
        assert browser.value("document.querySelectorAll('#rows rect').length") > 0
        assert {one.rpartition("/")[2] for one in browser.requests} <= {"", "live", "favicon.ico"}
        assert all(one.startswith(f"http://127.0.0.1:{live.port}/") for one in browser.requests)
        assert not [one for one in browser.complaints if "favicon" not in one]


def test_the_documentation_is_a_page_without_a_script(live: Live, chromium: str, tmp_path: Path) -> None:
    with Browser(chromium, tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{live.port}/docs")
        said = browser.value("document.body.innerText")
        assert "/v2/models/{name}/infer" in said
        assert "/v2/models/{name}/versions/{version}/infer" in said
        assert browser.value("document.scripts.length") == 0
        assert not browser.complaints
