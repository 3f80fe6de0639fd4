"""One botocore session for all clients: each further one would parse the service models again, 40 ms of CPU."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.session import Session, get_session

# DynamoDB and SQS respond within a second or not at all. The Budget allows a try only if both fit into its time.
CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
TRY_SECONDS = CONNECT_SECONDS + READ_SECONDS


@cache
def core() -> Session:
    """The process's session.

    With a fixed user agent, because botocore would build its own twice: 1.39 times the CPU of a call.
    """
    session = get_session()
    session.set_default_client_config(Config(user_agent="bellhop"))
    return session


def client(service: Any, *, attempts: int = 2, read_seconds: float = READ_SECONDS) -> Any:
    """A boto3 client whose calls fail after `attempts` requests."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    return boto3.Session(botocore_session=core()).client(service, config=config)
