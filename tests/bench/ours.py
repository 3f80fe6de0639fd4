"""Our deliver handler, trusting the bench's certificate authority and otherwise as it is."""

import dataclasses
import os
import time

from bellhop import settings
from bellhop.outcomes import OutcomeDay, Tally
from deliver import app
from deliver.counting import HELD_SECONDS
from deliver.sockets import tls_context
from deliver.transport import Transport
from deliver.watch import Watch
from tests.bench.measured import Measured
from tests.bench.messages import Context, event


class Never(Watch):
    """Pauses no app."""

    def look_closer(self, app_id: str) -> bool:
        """No gate is ever read."""
        return False

    def note(self, tally: Tally, row: OutcomeDay) -> bool:
        """Nothing is ever paused."""
        return False


def make(authorities: str, pause: bool = True) -> Measured:
    """Build the handler's office with a transport that trusts `authorities`, and if told so without the pause."""
    office, chosen = app._open(), settings.load(app.Settings, os.environ)
    transport = Transport(app.endpoints(chosen), tls_context(authorities), chosen.slots)
    desk = office.desk if pause else dataclasses.replace(office.desk, watch=Never(time.time))
    ready = dataclasses.replace(office, transport=transport, desk=desk)
    app._open = lambda: ready  # type: ignore[assignment]
    return Measured(lambda batch: app.handler(batch, Context()))


def settle(measured: Measured) -> None:
    """Let the counts be written that the process holds back for a while."""
    ledger = app._open().desk.ledger
    ledger.clock = lambda: time.monotonic() + HELD_SECONDS
    measured.run([event([])])
    ledger.clock = time.monotonic
