"""Make the small run of blobs.py importable: tests use it, and run it as a program of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def blob_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from blobs import write_model

    return write_model(tmp_path_factory.mktemp("model") / "blobs.onnx")
