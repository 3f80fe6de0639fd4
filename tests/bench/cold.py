"""A function's start from the built bundle with its bytecode, beside one that only creates the same clients."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.build import CODE, built_template
from tests.bench import messages
from tests.bench.cloud import register
from tests.bench.rig import Rig
from tests.bench.units import issue_event, stream_event

ROUNDS = 7
SECONDS = 60
STEPS = ("import", "clients", "first invocation")
HERE = Path(__file__).parent
INTERPRETER = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"

COUNTED_ROW = {
    "scope": {"S": "app0#org0"},
    "generation_day": {"S": "00000001#2026-11-23"},
    "app_id": {"S": "app0"},
    "organization_id": {"S": "org0"},
    "generation": {"N": "1"},
    "has_failure": {"BOOL": True},
}


@dataclass(frozen=True)
class Start:
    """One way to start a function: its bundle and what precedes it on the path, its module, its first event."""

    paths: list[Path]
    module: str
    env: dict[str, str]
    event: str = ""

    def run_once(self, mode: str = "time") -> dict[str, Any]:
        """Start it once, in a fresh interpreter that sees only the bundle."""
        setup = f"import sys; sys.path[:0] = {[str(path) for path in self.paths]!r}; sys.argv[0] = ''; "
        code = f"{setup}exec(compile(open({str(HERE / 'cold_start.py')!r}).read(), 'cold_start', 'exec'))"
        command = [str(INTERPRETER), "-I", "-S", "-c", code, self.module, self.event, mode]
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.module} did not start:\n{done.stderr.decode()[-2000:]}")
        return dict(json.loads(done.stdout))


def measure(rig: Rig, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """For each function: milliseconds of each step, and how its init compares with the bare clients'."""
    on_progress("cold start: building the bundle")
    code = built_template().with_name(CODE)
    register(rig.cloud, [f"http://localhost:{rig.plain[0]}/ok/0/app0"])
    bare = _compiled_bare(rig.directory)
    return {name: _function(rig, name, code, bare, on_progress) for name in ("notify", "deliver", "health")}


def _compiled_bare(directory: Path) -> Path:
    place = directory / "bare"
    place.mkdir()
    shutil.copy(HERE / "bare_clients.py", place)
    options = ["-q", "--invalidation-mode", "unchecked-hash", str(place)]
    subprocess.run([str(INTERPRETER), "-m", "compileall", *options], check=True, timeout=SECONDS)
    return place


def _function(rig: Rig, name: str, code: Path, bare: Path, on_progress: Callable[[str], None]) -> dict[str, Any]:
    on_progress(f"cold start: {name}")
    resource = f"{name.capitalize()}Function"
    environ = rig.cloud.environment(resource, {}) | {"PYTHONHASHSEED": "0"}
    ours = Start([code], f"{name}.app", environ, _event(rig.directory, name))
    clients = ours.run_once("list")["clients"]
    theirs = Start([bare, code], "bare_clients", environ | {"BENCH_CLIENTS": ",".join(clients)})
    pairs = [(ours.run_once()["times"], theirs.run_once()["times"]) for _ in range(ROUNDS + 1)]
    return _summary(clients, *zip(*pairs[1:], strict=True))  # the first one read the files into memory


def _summary(clients: list[str], ours: Any, bare: Any) -> dict[str, Any]:
    steps = {
        step: {clock: statistics.median(run[step][clock] for run in ours) for clock in ("wall_ms", "cpu_ms")}
        for step in STEPS
    }
    init, least = _init(ours), _init(bare)
    return {
        "clients": clients,
        "steps": steps,
        "init": init,
        "bare": least,
        "ratio": {clock: init[clock] / least[clock] for clock in init},
    }


def _init(runs: Any) -> dict[str, float]:
    """Import and clients together, because the bare handler creates its clients when it is imported."""
    return {
        clock: statistics.median(run["import"][clock] + run["clients"][clock] for run in runs)
        for clock in ("wall_ms", "cpu_ms")
    }


def _event(directory: Path, name: str) -> str:
    events = {
        "notify": messages.event([messages.queue_message(issue_event(1, 0, fails=False))]),
        "deliver": messages.event([messages.of_delivery(messages.new_delivery("app0", 1))]),
        "health": stream_event(COUNTED_ROW),
    }
    path = directory / f"first-{name}.json"
    path.write_text(json.dumps(events[name]))
    return os.fspath(path)
