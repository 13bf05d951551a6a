"""What every test stands on: a home of its own, and honesty about what could not run here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from throughline import hardware

# The same examples on every run, and no verdict on how busy the machine is.
settings.register_profile("throughline", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("throughline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not hardware.detect().gpus:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    lacking = sum("no NVIDIA GPU" in str(report.longrepr) for report in skipped)
    if lacking:
        terminalreporter.write_line(f"NOT RUN: {lacking} tests need an NVIDIA GPU, and none was found", yellow=True)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes its user's keys or settings."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("THROUGHLINE_")]:
        monkeypatch.delenv(name)
