"""Measures a function's start. The bundle's own interpreter runs it, without any other part of the bench.

Arguments: the handler's module; the file with its first event, or ""; "list" to name the clients it creates.
"""

import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any


class Context:
    """Lambda's context object."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    aws_request_id = "8f14e45f-ceea-467f-a8d5-0a1b2c3d4e5f"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def main(name: str, event: str, mode: str) -> None:
    report = sys.stdout
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the function's log
    clients = _clients_created() if mode == "list" else []
    first = json.loads(open(event).read()) if event else None  # noqa: PTH123, SIM115
    marks = [_now()]
    module = importlib.import_module(name)
    marks.append(_now())
    _connect()
    marks.append(_now())
    if first and mode != "list":
        module.handler(first, Context())
    marks.append(_now())
    steps = ["import", "clients", "first invocation"]
    times = {step: _between(*pair) for step, pair in zip(steps, itertools.pairwise(marks), strict=True)}
    report.write(json.dumps({"times": times, "clients": clients}))
    report.flush()
    os._exit(0)  # do not wait for kept-alive connections and thread pools


def _connect() -> None:
    """Create the tables' clients, which pynamodb does when a table is first used.

    Everything else that the first invocation needs is built when the module is imported.
    """
    models = sys.modules.get("pynamodb.models")
    if models:
        for model in _subclasses(models.Model):
            if model.__dict__.get("_connection"):
                model._connection.connection.client  # noqa: B018 - the property creates it


def _subclasses(parent: type[Any]) -> Iterator[Any]:
    for each in parent.__subclasses__():
        yield each
        yield from _subclasses(each)


def _clients_created() -> list[str]:
    """The names of the clients, in a list that grows whenever one is created."""
    names: list[str] = []
    botocore = importlib.import_module("botocore")
    botocore.register_initializer(
        lambda session: session.register(
            "creating-client-class",
            lambda service_id=None, **kw: names.append(kw["event_name"].split(".")[-1]),
        )
    )
    return names


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _between(start: tuple[float, float], end: tuple[float, float]) -> dict[str, float]:
    return {"wall_ms": (end[0] - start[0]) * 1000, "cpu_ms": (end[1] - start[1]) * 1000}


main(*sys.argv[1:])
