"""Make the small models and the server's process importable, and run one server that most of these tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

ROLES = ("infer", "admin")


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A key of each role, and the file that knows them."""
    from throughline.serving.keys import new_key

    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return {"file": str(path), **{role: new_key(path, f"of {role}", role) for role in ROLES}}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import served_models as made

    folder = tmp_path_factory.mktemp("served")
    kinds = {"every": made.every_type, "texts": made.texts, "looks": made.looks_up, "adds": made.adds}
    return {name: make(folder / f"{name}.onnx") for name, make in kinds.items()}


@pytest.fixture(scope="session")
def live(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path], tokens: dict[str, str], blob_model: Path
) -> Iterator[object]:
    """One server of several models, which anybody may ask and an admin may change."""
    from live_server import serving

    given = [f"{name}={path}" for name, path in models.items()] + [f"blobs={blob_model}"]
    options = ("--keys", tokens["file"], "--max-body-mb", "8", "--timeout-ms", "5000")
    with serving(*given, *options, folder=tmp_path_factory.mktemp("server")) as server:
        yield server
        assert '"event":"fault"' not in server.text, server.text  # nothing that any test sent was unforeseen
        assert "Traceback" not in server.text, server.text


@pytest.fixture
def admin(tokens: dict[str, str]) -> dict[str, str]:
    """The header of somebody who may change what is served."""
    return {"Authorization": f"Bearer {tokens['admin']}"}


@pytest.fixture(scope="session")
def small_picture() -> bytes:
    """A picture of bright squares, as PNG."""
    import cv2
    from blobs import picture

    whole, data = cv2.imencode(".png", picture(3)[..., ::-1])
    assert whole
    return bytes(data)
