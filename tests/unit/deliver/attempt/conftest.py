from collections.abc import Iterator

import pytest

from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support.oauth2 import OPEN


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(OPEN, tls_context())
    yield made
    made.close()
