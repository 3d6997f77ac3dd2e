"""A `grpcs://` client speaks TLS: it answers to a certificate that it trusts, and to no plain server."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

READY = (
    "import sys, longtail_client; print(longtail_client.Recommender(sys.argv[1], timeout_s=20, max_tries=1).ready())"
)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, and its key."""
    key, signed = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(signed)),
        ],
        check=True,
        capture_output=True,
    )
    return signed, key


@pytest.mark.parametrize(("scheme", "trusted", "ready"), [("grpcs", 1, True), ("grpcs", 0, False), ("grpc", 1, False)])
def test_a_certificate_is_asked_for_and_checked(
    certificate: tuple[Path, Path], scheme: str, trusted: int, ready: bool
) -> None:
    signed, key = certificate
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key.read_bytes(), signed.read_bytes())]))
    server.start()
    roots = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(signed)} if trusted else {}
    try:
        done = subprocess.run(
            [sys.executable, "-c", READY, f"{scheme}://localhost:{port}"],
            env={"NO_PROXY": "localhost"} | roots,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        server.stop(0).wait()
    assert (done.stdout == "True\n") is ready, done.stderr
    assert ("longtail_client.errors.Unavailable" in done.stderr) is not ready
