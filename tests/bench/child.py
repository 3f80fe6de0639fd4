"""A process of its own, for what is measured and for what must not be part of the measurement."""

import importlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SPAWN = multiprocessing.get_context("spawn")
END_SECONDS = 10.0


class ChildError(Exception):
    """The child raised; the message is its traceback."""


class Child:
    """A process that holds one object; `call` is one method call on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the child's object and wait for what it returns."""
        self._connection.send((method, arguments))
        return self._receive()

    def _receive(self) -> Any:
        succeeded, result = self._connection.recv()
        if not succeeded:
            raise ChildError(result)
        return result


@contextmanager
def child(factory: str, environ: Mapping[str, str], output: Path, *arguments: Any) -> Iterator[Child]:
    """Run `factory` ("module:name") in a new process with that environment, its stdout going to `output`."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(
        target=_serve, args=(theirs, factory, dict(environ), str(output), arguments), daemon=True
    )
    process.start()
    theirs.close()
    try:
        started = Child(ours)
        started._receive()  # the factory has run
        yield started
    finally:
        ours.close()  # the child's loop ends with its connection
        process.join(END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(
    connection: Connection, factory: str, environ: dict[str, str], output: str, arguments: tuple[Any, ...]
) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stdout.fileno())
    module, _, name = factory.partition(":")
    created: list[Any] = []
    _reply(connection, lambda: created.append(getattr(importlib.import_module(module), name)(*arguments)))
    while created:
        try:
            method, values = connection.recv()
        except EOFError:
            os._exit(0)  # threads of a pool or a hanging POST must not delay the exit
        _reply(connection, lambda: getattr(created[0], method)(*values))  # noqa: B023 - called at once


def _reply(connection: Connection, work: Any) -> None:
    try:
        connection.send((True, work()))
    except Exception:  # noqa: BLE001 - the parent raises it
        connection.send((False, traceback.format_exc()))
