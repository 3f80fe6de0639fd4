"""Run by the bundle's interpreter alone, nothing of the bench imported: how long a function's start takes.

Arguments: the handler's module, the file with its first event ("" for none), "list" to name its clients.
"""

import importlib
import itertools
import json
import os
import sys
import time


class Context:
    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    aws_request_id = "8f14e45f-ceea-467f-a8d5-0a1b2c3d4e5f"

    def get_remaining_time_in_millis(self):
        return 30_000


def main(name, event, mode):
    report = sys.stdout
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the function's log
    clients = _listed() if mode == "list" else []
    first = json.loads(open(event).read()) if event else None  # noqa: PTH123, SIM115
    marks = [_now()]
    module = importlib.import_module(name)
    marks.append(_now())
    _connect(module)
    marks.append(_now())
    if first and mode != "list":
        module.handler(first, Context())
    marks.append(_now())
    steps = ["import", "clients", "first invocation"]
    times = {step: _between(*pair) for step, pair in zip(steps, itertools.pairwise(marks), strict=True)}
    report.write(json.dumps({"times": times, "clients": clients}))
    report.flush()
    os._exit(0)  # kept-alive connections and pools are not this one's to wait for


def _connect(module):
    """Build what the first invocation would, down to the tables' clients, which pynamodb makes when used."""
    if hasattr(module, "_open"):
        module._open()
        for model in _below(importlib.import_module("pynamodb.models").Model):
            if model.__dict__.get("_connection"):
                model._connection.connection.client  # noqa: B018 - a property that makes it


def _below(kind):
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _listed():
    names = []
    botocore = importlib.import_module("botocore")
    botocore.register_initializer(
        lambda session: session.register(
            "creating-client-class",
            lambda service_id=None, **kw: names.append(kw["event_name"].split(".")[-1]),
        )
    )
    return names


def _now():
    return time.perf_counter(), time.process_time()


def _between(start, end):
    return {"wall_ms": (end[0] - start[0]) * 1000, "cpu_ms": (end[1] - start[1]) * 1000}


main(*sys.argv[1:])
