"""The smallest function with the same clients: the baseline for a function's start."""

import os
from typing import Any

import boto3

_client: Any = boto3.client  # its overloads want literal names
CLIENTS = [_client(name) for name in os.environ["BENCH_CLIENTS"].split(",")]


def handler(event: object, context: object) -> None:
    """Do nothing."""
