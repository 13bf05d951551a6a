"""Weights & Biases, offline: its files hold what the run was told, and nothing leaves the machine."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path

import pytest

if importlib.util.find_spec("wandb") is None:
    pytest.skip("wandb is not installed", allow_module_level=True)

from throughline.contracts.records import RunState
from throughline.testing.runlogs import RunLogConformance


class TestWandb(RunLogConformance):
    runlog = "wandb"
    forks = False

    @classmethod
    def setup_class(cls) -> None:
        for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
            os.environ.pop(name, None)
        super().setup_class()

    @classmethod
    def teardown_class(cls) -> None:
        import wandb

        wandb.teardown()
        super().teardown_class()

    def kept(self, run: str, file: Path) -> None:
        [place] = (self.folder() / "wandb").glob(f"offline-run-*-{run}/files")
        assert (place / file.name).read_bytes() == file.read_bytes()

    def test_what_wandb_would_send_holds_it(self) -> None:
        run = self._log.start("to send", {"learning": 0.125}, {"commit": "c0ffee"})
        self._log.metrics(run, {"mAP@50": 0.5}, 3)
        self._log.finish(run, RunState.FINISHED)
        [written] = (self.folder() / "wandb").glob(f"offline-run-*-{run}/run-{run}.wandb")
        words = (b"to send", b"learning", b"0.125", b"c0ffee", b"mAP@50")
        soon = threading.Event()
        for _ in range(1000):  # wandb's own process writes it, and answers before it has
            content = written.read_bytes()
            if all(word in content for word in words):
                return
            soon.wait(0.01)
        raise AssertionError([word for word in words if word not in content])
