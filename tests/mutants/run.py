"""One run of tests in a copy of the tree, by a process that has the libraries loaded: that takes longest."""

import io
import multiprocessing
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path

LIMIT_SECONDS = 600.0  # for one run of tests, on a machine that has other work
LIBRARIES = ["pytest", "moto", "moto.dynamodb.responses", "moto.sqs.responses"]
OURS = {"tests", "infra", "bellhop", "notify", "deliver", "health"}
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([*LIBRARIES, "pynamodb.models", "boto3", "requests", "jinja2"])


def failure(tree: Path, arguments: Sequence[str]) -> str | None:
    """The first test that fails in the copy; None when all pass, or the run had to be stopped.

    Raises:
        RuntimeError: the tests did not run.
    """
    reader, writer = _server.Pipe(duplex=False)
    process = _server.Process(target=_run, args=(tree, list(arguments), writer))
    process.start()
    writer.close()
    try:
        code, text = reader.recv() if reader.poll(LIMIT_SECONDS) else (0, "")
    except EOFError:
        code, text = -1, "the process died"
    process.kill()
    process.join()
    found = FAILED.search(text)
    if code not in {0, 1} or (code == 1 and not found):
        raise RuntimeError(f"the tests did not run:\n{text[-4000:]}")
    return found[1] if found else None


def _run(tree: Path, arguments: list[str], report: Connection) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:0] = [str(tree / "functions"), str(tree)]
    os.chdir(tree)
    import pytest  # noqa: PLC0415 - it is loaded already, and not needed where this is only imported

    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *arguments])
    report.send((int(code), output.getvalue()))
