"""The same picture in the form that each server takes, and the scores out of what it answers."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Form:
    """How a server is asked over HTTP: a picture and its time limit in seconds to a request, an answer to scores."""

    says: str
    request: Callable[[np.ndarray, float | None], bytes]
    scores: Callable[[bytes], np.ndarray]


def ask(port: int, request: bytes, seconds: float = 10.0) -> tuple[int, bytes]:
    """Send a request on a connection of its own; the status and the body.

    Raises:
        OSError: no answer within the time.
    """
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += _piece(connection)
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.lower()
        if b"content-length:" in lines:
            length = int(lines.partition(b"content-length:")[2].split(b"\r")[0])
            while len(body) < length:
                body += _piece(connection)
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += _piece(connection)
            body = body.partition(b"\r\n")[2][:-7]
        return int(head.split()[1]), body


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def post(path: str, body: bytes, headers: str = "Content-Type: application/json\r\n") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _piece(connection: socket.socket) -> bytes:
    piece = connection.recv(1 << 16)
    if not piece:
        raise ConnectionResetError("closed before the answer was whole")
    return piece


def _raw(picture: np.ndarray, _: float | None) -> bytes:
    return post("/predict", picture.tobytes(), "Content-Type: application/octet-stream\r\n")


def _protocol(picture: np.ndarray, limit: float | None) -> bytes:
    data = picture.tobytes()
    image = {"name": "images", "shape": [1, *picture.shape], "datatype": "FP32"}
    head = {
        "inputs": [{**image, "parameters": {"binary_data_size": len(data)}}],
        "parameters": {"binary_data_output": True, **({"timeout": round(limit * 1e6)} if limit else {})},
    }
    said = json.dumps(head).encode()
    headers = f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(said)}\r\n"
    return post("/v2/models/pictures/infer", said + data, headers)


def _protocol_base64(picture: np.ndarray, _: float | None) -> bytes:
    text = base64.b64encode(picture.tobytes()).decode()
    image = {"name": "images", "shape": [1], "datatype": "BYTES", "data": [text]}
    body = {"inputs": [{**image, "parameters": {"content_type": "base64"}}]}
    return post("/v2/models/pictures/infer", json.dumps(body).encode())


def _json_base64(picture: np.ndarray, _: float | None) -> bytes:
    return post("/predict", json.dumps({"pictures": [base64.b64encode(picture.tobytes()).decode()]}).encode())


RAW = Form("the bytes", _raw, lambda body: np.frombuffer(body, np.float32))
PROTOCOL = Form("the bytes after a JSON head", _protocol, lambda body: np.frombuffer(body[-40:], np.float32))
PROTOCOL_BASE64 = Form(
    "base64 in a BYTES tensor", _protocol_base64, lambda body: np.array(json.loads(body)["outputs"][0]["data"])
)
JSON_BASE64 = Form("base64 in JSON", _json_base64, lambda body: np.array(json.loads(body)).ravel())
