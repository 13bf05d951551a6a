"""A real browser for the tests of pages: Chromium, told what to do through a pipe, heard of everything it does."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

PATIENCE = 60.0


class Browser:
    """One tab. ``requests`` are the addresses it asked for, ``complaints`` what its console had to say."""

    def __init__(
        self, program: str, profile: Path, *, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        self.program, self.profile, self.size, self.dark = program, profile, (width, height), dark
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._asked, self._heard = 0, b""
        self._tab: dict[str, str] = {}

    def __enter__(self) -> Self:
        its_ears, self._out = os.pipe()
        self._in, its_mouth = os.pipe()
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
        ]
        options += ["--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={self.profile}"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{its_ears} 4>&{its_mouth}', "-", self.program, *options, "about:blank"],
            pass_fds=(its_ears, its_mouth),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_ears)
        os.close(its_mouth)
        target = self._do("Target.createTarget", url="about:blank")["targetId"]
        self._tab = {"sessionId": self._do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for part in ("Page", "Runtime", "Network", "Log"):
            self._do(f"{part}.enable")
        width, height = self.size
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
        self._do("Emulation.setEmulatedMedia", features=[scheme])
        return self

    def __exit__(self, *_: object) -> None:
        self._tab = {}
        try:
            self._do("Browser.close")
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._in)
            os.close(self._out)

    def open(self, address: str) -> None:
        self._do("Page.navigate", url=address)
        self.until(f"location.href == {json.dumps(address)} && document.readyState == 'complete'")

    def value(self, script: str) -> Any:
        answer = self._do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """What the script says once that is true."""
        end = time.monotonic() + PATIENCE
        while not (said := self.value(script)):
            assert time.monotonic() < end, f"{script} stayed {said!r}; the console said {self.complaints}"
        return said

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        told = self._do("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def _do(self, method: str, **given: Any) -> Any:
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": given, **self._tab}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._asked:
                assert "error" not in said, (method, said)
                return said["result"]
            self._note(said)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            assert ready, "the browser says nothing"
            heard = os.read(self._in, 1 << 20)
            assert heard, "the browser is gone"
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, said: Mapping[str, Any]) -> None:
        about = said.get("params", {})
        if said.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif said.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(str(about["args"]))
        elif said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif said.get("method") == "Log.entryAdded":
            self.complaints.append(str(about["entry"]))
