"""Our deliver handler, trusting the bench's certificate authority and otherwise as it is."""

import dataclasses
import os

from bellhop import settings
from deliver import app
from deliver.sockets import tls_context
from deliver.transport import Transport
from tests.bench.measured import Measured
from tests.bench.messages import Context


def make(authorities: str) -> Measured:
    """Build the handler's office with a transport that trusts `authorities`."""
    office, chosen = app._open(), settings.load(app.Settings, os.environ)
    transport = Transport(app.policy(chosen), tls_context(authorities), chosen.concurrency)
    ready = dataclasses.replace(office, transport=transport)
    app._open = lambda: ready  # type: ignore[assignment]
    return Measured(lambda event: app.handler(event, Context()))
