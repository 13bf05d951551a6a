"""``throughline serve`` as its users call it: what it refuses before anything is opened, and what it tells then."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from throughline.cli import main
from throughline.contracts.errors import ThroughlineError
from throughline.testing.stores import small_model
from throughline.verbs.serve import serve


@pytest.mark.parametrize("what", ["until_it_is_asked_to_end", "every_name_and_every_port"])
def test_a_program_serves_and_hears_what_was_done(what: str, tmp_path: Path) -> None:
    program = [sys.executable, str(Path(__file__).with_name("serve_here.py")), what, str(tmp_path)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--port", "-1"], ["--port", "65536"], ["--grpc-port", "99999"], ["--ops-port", "-5"],
        ["--max-batch-size", "0"], ["--max-queue", "0"], ["--max-latency-ms", "-1"], ["--max-latency-ms", "nan"],
        ["--timeout-ms", "inf"], ["--grace-s", "-1"], ["--max-body-mb", "nan"], ["--max-body-mb", "-1"],
        ["--cache-mb", "inf"], ["--server", "nobody"], ["--certificate", "only-one.pem"], ["--keys", "no-such-file"],
        ["--threads", "-1"], ["--backend", "nobody"], ["--device", "nowhere"], ["--host", "999.999.999.999"],
        ["--host", "a" * 300], ["--stream", "nothing"], ["--no-such-option"],
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    model = small_model(tmp_path / "adds.onnx")
    ports = ["--port", "0"] if "--port" not in wrong else []
    ports += ["--grpc-port", "0"] if "--grpc-port" not in wrong else []
    ports += ["--ops-port", "0"] if "--ops-port" not in wrong else []
    assert main(["serve", str(model), *ports, *wrong]) in (2, 6)
    said = capsys.readouterr().err
    assert "fix:" in said
    assert "fault of ours" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("data", [None, b"", b"no model"])
def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if data is not None:
        path.write_bytes(data)
    assert main(["serve", str(path), "--port", "0", "--grpc-port", "0", "--ops-port", "0"]) in (2, 5)
    assert "model.onnx" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    model = str(small_model(tmp_path / "adds.onnx"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"port": port}, {"grpc_port": port}, {"ops_port": port}):
            given = {"port": 0, "grpc_port": 0, "ops_port": 0, **ports}
            with pytest.raises(ThroughlineError, match=str(port)):
                serve(model, **given)  # type: ignore[arg-type]
