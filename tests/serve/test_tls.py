"""TLS, and the terminal's own client."""

import json
import shutil
import ssl
import subprocess
import urllib.request

import pytest
from server import BINARY, TINY, Server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", names, "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def secure(certificate):
    running = Server("--tls-cert", str(certificate / "cert"), "--tls-key", str(certificate / "key"), scheme="https")
    yield running
    running.stop()


def test_requests_and_streams_come_through_tls(secure, certificate):
    context = ssl.create_default_context(cafile=certificate / "cert")
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, "stream": True}
    request = urllib.request.Request(f"{secure.url}/v1/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request, context=context) as answer:
        assert answer.read().endswith(b"data: [DONE]\n\n")
    large = json.dumps({"messages": [{"role": "user", "content": "x" * 3_000_000}]}).encode()
    request = urllib.request.Request(f"{secure.url}/v1/chat/completions", large)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, context=context)


def test_what_is_no_tls_gets_nothing(secure, certificate):
    assert b"HTTP" not in secure.say("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(certificate / "cert")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), secure.connect() as connection, old.wrap_socket(connection, server_hostname="localhost"):
        pass


def test_a_certificate_that_cannot_be_used_is_refused(certificate, tmp_path):
    for cert, key in (("missing", certificate / "key"), (certificate / "key", certificate / "key"), (certificate / "cert", certificate / "cert")):
        with pytest.raises(AssertionError, match="--tls-"):
            Server("--tls-cert", str(cert), "--tls-key", str(key))
    with pytest.raises(AssertionError, match="--tls-key"):
        Server("--tls-cert", str(certificate / "cert"))


def chat(url: str, typed: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, "chat", "--url", url, *arguments], input=typed, capture_output=True, text=True, timeout=60)


def test_chat_talks_with_a_server_as_with_a_model(server):
    options = ["--temp", "0", "-n", "12", "--system", "Be brief."]
    here = subprocess.run([BINARY, "chat", TINY, *options], input="Hi\nMore\n", capture_output=True, text=True, timeout=60)
    there = chat(server.url, "Hi\nMore\n/stats\n", *options)
    assert there.returncode == 0 and there.stdout.startswith(here.stdout)
    assert "prompt tokens" in there.stdout
    assert chat(server.url + "/v1/", "Hi\n", *options).stdout == chat(server.url, "Hi\n", "tiny-moe", *options).stdout


def test_chat_says_what_a_server_refuses_and_goes_on(server):
    refused = chat(server.url, "Hi\nHi\n", "no-such-model")
    assert refused.stderr.count("no-such-model") == 2 and "404" in refused.stderr and refused.returncode == 0
    assert "127.0.0.1:9" in chat("http://127.0.0.1:9", "Hi\n").stderr
    assert chat("ftp://x", "").returncode == 2
    assert subprocess.run([BINARY, "chat", "--url", server.url, "--ram", "1GB"], capture_output=True).returncode == 2
