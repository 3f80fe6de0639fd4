"""What health's code is handed in tests: everything that a test does not choose fails when it is used."""

from itertools import count
from typing import Any

from bellhop import tables
from bellhop.bus import Bus
from health.dependencies import HealthDependencies
from health.rules import Thresholds
from tests.support.endpoint import Clock
from tests.support.fakes import Recorder
from tests.support.ses import LINKS

_TOKENS = (f"worker-{number}" for number in count(1))


def unexpected(*arguments: Any) -> Any:
    raise AssertionError(f"a call that this test does not expect: {arguments}")


def health_dependencies(**chosen: Any) -> HealthDependencies:
    """Health's dependencies with the chosen ones replaced; needs the fixture `aws`."""
    values: dict[str, Any] = {
        "connection": tables.connect(),
        "announce": unexpected,
        "telemetry": Recorder(),
        "now": Clock(),
        "thresholds": Thresholds(1000, 7, 72),
        "send_later": unexpected,
        "ping": unexpected,
        "retry": unexpected,
        "retries_waiting": lambda: 0,
        "wait": unexpected,
        "bus": Bus(unexpected, "default"),
        "ses": None,
        "mail_from": "bellhop@tracker.example",
        "mail_configuration_set": "mail-settings",
        "links": LINKS,
        "replay_per_second": 10.0,
        "ping_seconds": 30.0,
        "settle_seconds": 90.0,
        "lease_seconds": 60.0,
        "overdue_seconds": 7200.0,
        "token": lambda: next(_TOKENS),
    }
    return HealthDependencies(**values | chosen)
