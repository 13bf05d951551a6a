"""TLS on every port that clients speak to, with a certificate of our own."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import served_models as made

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from live_server import HOST, Live, head, serving


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]), False
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "tls.pem", folder / "tls.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def closed(folder: Path) -> Iterator[Live]:
    certificate, key = certified(folder)
    options = ("--certificate", str(certificate), "--certificate-key", str(key))
    with serving(made.adds(folder / "adds.onnx"), *options, folder=folder) as live:
        yield live
        assert '"event":"fault"' not in live.text


def test_whoever_knows_the_certificate_is_answered_and_nobody_in_clear(closed: Live, folder: Path) -> None:
    context = ssl.create_default_context(cafile=str(folder / "tls.pem"))
    with context.wrap_socket(closed.raw(), server_hostname="localhost") as connection:
        connection.sendall(head("GET", "/v2/health/live", "Connection: close"))
        assert connection.makefile("rb").readline().split()[1] == b"200"
        assert connection.version() in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(closed.raw(), server_hostname="localhost")
    with closed.raw(head("GET", "/v2/health/live")) as connection:
        assert b"200" not in connection.recv(100)


def test_old_versions_are_not_spoken(closed: Live) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        context.wrap_socket(closed.raw())


def test_grpc_is_closed_too(closed: Live, folder: Path) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    with triton.InferenceServerClient(
        f"localhost:{closed.grpc}", ssl=True, root_certificates=str(folder / "tls.pem")
    ) as client:
        assert client.is_server_live()
    with (
        triton.InferenceServerClient(f"localhost:{closed.grpc}") as client,
        pytest.raises(triton.InferenceServerException),
    ):
        client.is_server_live(client_timeout=5)
    assert all(line.startswith(("{", "note: ")) for line in closed.lines)  # nobody makes it write what he likes


def test_whoever_does_not_shake_hands_is_cut_off(closed: Live, folder: Path) -> None:
    with closed.raw() as silent, closed.raw(b"\x16\x03\x01") as half:
        began = time.monotonic()
        for connection in (silent, half):
            connection.settimeout(20)
            with suppress(ConnectionError):
                assert connection.recv(100) == b""
        assert time.monotonic() - began < 12


@pytest.mark.parametrize("what", ["nothing", "text", "another's key"])
def test_a_certificate_that_does_not_fit_is_an_error_before_anything_is_opened(
    folder: Path, tmp_path: Path, what: str
) -> None:
    certificate, key = certified(tmp_path)
    if what == "nothing":
        certificate = tmp_path / "none.pem"
    elif what == "text":
        certificate.write_text("this is none")
    else:
        (tmp_path / "other").mkdir()
        _, key = certified(tmp_path / "other")
    options = ("--certificate", str(certificate), "--certificate-key", str(key))
    refused = pytest.raises(AssertionError, match="certificate")
    with refused as error, serving(made.adds(tmp_path / "adds.onnx"), *options, folder=tmp_path):
        pass
    assert "onnxruntime" not in str(error.value)
    assert "Traceback" not in str(error.value)
    assert "fault of ours" not in str(error.value)


def test_ipv6_is_an_address_as_well(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as tried:
        try:
            tried.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    from throughline.serving.hosts.uvicorn import _listen

    with _listen("::1", 0) as listener, socket.create_connection(listener.getsockname()[:2], timeout=10):
        pass
