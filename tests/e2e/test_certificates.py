"""Whom the program trusts on a system that keeps certificates elsewhere than the one whose libcurl it brings, as a wheel does."""

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from program import BINARY

IN_A_SYSTEM_OF_ITS_OWN = ["unshare", "--map-root-user", "--mount", "sh", "-c"]


class NothingThere(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    """Its address, and the certificate that it shows."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), NothingThere)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", tmp_path / "cert"
    server.shutdown()


def test_certificates_are_found_where_other_systems_have_them(sluice, hub):
    url, certificate = hub

    def pull(before: str) -> str:
        script = f"mount -t tmpfs none /etc/ssl && {before} exec {BINARY} pull org/model"
        environment = sluice.environment | {"HF_ENDPOINT": url}
        return subprocess.run([*IN_A_SYSTEM_OF_ITS_OWN, script], env=environment, capture_output=True, text=True, timeout=60).stderr

    without = pull("")
    if "/etc/ssl/certs/ca-certificates.crt" not in without:
        pytest.skip(f"no file system of one's own here, or another libcurl: {without}")
    assert "certificate" not in pull(f"cp {certificate} /etc/ssl/cert.pem &&")
