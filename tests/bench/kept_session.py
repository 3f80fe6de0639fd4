"""The same Lambda as one writes it the second time: one Session and its TLS context are kept."""

from tests.bench import straightforward
from tests.bench.bare_session import session
from tests.bench.measured import Measured


def make() -> Measured:
    """The handler."""
    return straightforward.posting(session().post)
