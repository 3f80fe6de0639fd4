"""What every part of the bench needs: the embedded AWS, the endpoints, a certificate authority."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import trustme

from tests.bench.child import Child, child
from tests.bench.cloud import Cloud, cloud, machine

PORTS = 100
CERTIFICATE = "ECDSA P-256"  # what trustme issues

_numbers = itertools.count()


@dataclass(frozen=True)
class Rig:
    """`plain` and `tls` are the endpoints' ports; `authorities` the usual bundle and ours."""

    cloud: Cloud
    directory: Path
    receivers: Child
    plain: list[int]
    tls: list[int]
    authorities: str

    def child(
        self, factory: str, environ: Mapping[str, str], *arguments: Any, output: str = ""
    ) -> AbstractContextManager[Child]:
        """A process that runs `factory` of a module in tests.bench."""
        log = self.directory / (output or f"child-{next(_numbers)}.log")
        return child(f"tests.bench.{factory}", environ, log, *arguments)


@contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    """Set everything up for the length of the block."""
    certificate, authorities = _certificates(directory)
    with (
        cloud(directory) as aws,
        child(
            "tests.bench.receivers:Receivers",
            machine(),
            directory / "receivers.log",
            PORTS,
            PORTS,
            certificate,
        ) as receivers,
    ):
        plain, tls = receivers.call("ports")
        yield Rig(aws, directory, receivers, plain, tls, authorities)


def _certificates(directory: Path) -> tuple[str, str]:
    authority = trustme.CA()
    certificate, bundle = directory / "localhost.pem", directory / "authorities.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    return str(certificate), str(bundle)
