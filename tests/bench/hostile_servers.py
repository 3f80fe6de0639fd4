"""Endpoints that keep a reader busy, in a process of their own."""

import contextlib
import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from deliver.http.fields import MAX_LINES
from deliver.http.sockets import MAX_HANDSHAKE_BYTES
from tests.bench.hostile import flood
from tests.support.servers import Behaviour, drips, responds_with, serve

_CHAIN_BYTES = MAX_HANDSHAKE_BYTES - 2048  # of certificates: the rest of a handshake has its place beside them
_MANY_LINES = b"HTTP/1.1 200 OK\r\n" + b"keep-alive: a\r\n" * (MAX_LINES - 100)
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BEHAVIOURS: dict[str, Behaviour] = {
    "header lines of three bytes": flood(b"HTTP/1.1 200 OK\r\n", b"a:\n" * 1000),
    "interim responses": flood(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "chunks of one byte": flood(_CHUNKED, b"1\r\na\r\n" * 1000),
    "chunk extensions": flood(_CHUNKED, b"1;" + b"a" * 60_000 + b"\r\na\r\n"),
    "trailers": flood(_CHUNKED + b"2\r\nok\r\n0\r\n", b"a: b\r\n" * 1000),
    "many header lines": responds_with(_MANY_LINES),
    "a byte each millisecond": drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a", 0.001),
    "TLS records of one byte": drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a", 0.0),
    "TLS, and many header lines": responds_with(_MANY_LINES),
}


def of_no_use(certificate: str) -> bytes:
    """Certificates as PEM that have the name of the issuer of `certificate`, as many as a handshake has room for.

    OpenSSL looks at each of them, to find the one that signed it.
    """
    issuer = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0].issuer
    now, pem, room = dt.datetime.now(dt.UTC), b"", _CHAIN_BYTES
    while True:
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder(issuer, issuer, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        room -= len(made.public_bytes(Encoding.DER))
        if room < 0:
            return pem
        pem += made.public_bytes(Encoding.PEM)


class HostileServers:
    """A server for each behaviour; those of TLS have the `certificate`, and others behind it that lead nowhere."""

    def __init__(self, certificate: str) -> None:
        chain = Path(certificate).with_suffix(".chain.pem")
        chain.write_bytes(Path(certificate).read_bytes() + of_no_use(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self._serving = contextlib.ExitStack()
        servers = [
            self._serving.enter_context(serve(behave, context if name.startswith("TLS") else None))
            for name, behave in BEHAVIOURS.items()
        ]
        self._urls = [server.url for server in servers]

    def urls(self) -> list[str]:
        """Where they are."""
        return self._urls
