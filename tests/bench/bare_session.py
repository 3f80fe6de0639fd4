"""A loop over one requests.Session, no AWS at all. Its pool is large enough for every host, as ours is."""

import json

import requests
from requests.adapters import HTTPAdapter

from tests.bench.measured import JSON, Event, Measured


def make() -> Measured:
    """The handler."""
    kept = session()

    def handle(event: Event) -> None:
        for queue_message in event["Records"]:
            message = json.loads(queue_message["body"])
            kept.post(message["url"], message["body"].encode(), headers=JSON, timeout=10)

    return Measured(handle)


def session() -> requests.Session:
    """A Session that keeps a connection to each of many hosts."""
    kept = requests.Session()
    for scheme in ("http://", "https://"):
        kept.mount(scheme, HTTPAdapter(pool_connections=256))
    return kept
