"""Our deliver handler, trusting the bench's certificate authority and otherwise as it is."""

import dataclasses
import os
import time

from bellhop import settings
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from deliver import app
from deliver.circuit.window import FailureWindow
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from deliver.success_buffer import BUFFERED_SECONDS
from tests.bench.measured import Measured
from tests.bench.messages import Context, event


class Never(FailureWindow):
    """Pauses no app."""

    def look_closer(self, app_id: str) -> bool:
        """No gate is ever read."""
        return False

    def note(self, delta: OutcomeDelta, row: OutcomeDay) -> bool:
        """Nothing is ever paused."""
        return False


def make(authorities: str, pause: bool = True) -> Measured:
    """Build the handler's office with a transport that trusts `authorities`, and if told so without the pause."""
    office, chosen = app._open(), settings.load(app.Settings, os.environ)
    transport = Transport(app.endpoints(chosen), tls_context(authorities), chosen.slots)
    deps = office.deps if pause else dataclasses.replace(office.deps, watch=Never(time.time))
    ready = dataclasses.replace(office, transport=transport, deps=deps)
    app._open = lambda: ready  # type: ignore[assignment]
    return Measured(lambda batch: app.handler(batch, Context()))


def settle(measured: Measured) -> None:
    """Let the counts be written that the process holds back for a while."""
    buffer = app._open().deps.buffer
    buffer.clock = lambda: time.monotonic() + BUFFERED_SECONDS
    measured.run([event([])])
    buffer.clock = time.monotonic
