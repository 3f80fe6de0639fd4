"""Our deliver handler, trusting the bench's certificate authority and otherwise as it is."""

import dataclasses
import os
import time

from bellhop import settings
from bellhop.registry import App
from deliver import app
from deliver.circuit.known import CircuitState, KnownCircuits
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from deliver.success_buffer import BUFFERED_SECONDS
from tests.bench.measured import Measured
from tests.bench.messages import Context, event


class Never(KnownCircuits):
    """Knows of no pause, and notes no strike."""

    def state(self, app: App) -> CircuitState:
        """No circuit is ever read."""
        return CircuitState()


def make(authorities: str, pause: bool = True) -> Measured:
    """Build the handler with a transport that trusts `authorities`, and if told so without the pause."""
    built, chosen = app._dependencies(), settings.load(app.Settings, os.environ)
    ready = dataclasses.replace(built, transport=Transport(chosen.endpoints, tls_context(authorities)))
    ready = ready if pause else dataclasses.replace(ready, circuits=Never(60.0, time.time, ready.telemetry))
    app._dependencies = lambda: ready  # type: ignore[assignment]
    return Measured(lambda batch: app.handler(batch, Context()))


def settle(measured: Measured) -> None:
    """Let the counts be written that the process holds back for a while."""
    buffer = app._dependencies().buffer
    buffer.clock = lambda: time.time() + BUFFERED_SECONDS
    measured.run([event([])])
    buffer.clock = time.time
