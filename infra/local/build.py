"""Building the template for this machine, once for each state of the sources."""

import fcntl
import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.processes import run

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / ".local" / "build"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
BUILDS_TO_KEEP = 3
YOUNG_SECONDS = 900  # a build younger than this may still be being deployed

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def built_template() -> Path:
    """The template as `sam build` leaves it, for this interpreter and processor, with bytecode."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    target = BUILDS / _digest()
    with _locked(BUILDS / "lock"):
        if not target.exists():
            _build(target)
        os.utime(target)
        _prune()
    return target / "bundle" / "template.yaml"


def _digest() -> str:
    state = hashlib.sha256(f"{RUNTIME} {ARCHITECTURE}".encode())
    for path in [ROOT / "template.yaml", ROOT / "infra/monitoring/alarms.yaml", *_code()]:
        state.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _code() -> list[Path]:
    files = (path for path in (ROOT / "functions").rglob("*") if path.is_file())
    return sorted(path for path in files if "__pycache__" not in path.parts)


def _build(target: Path) -> None:
    work = target.with_suffix(".unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    log = work / "log"
    # sam looks for the runtime's interpreter and for its pip on the PATH.
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    parameters = ["--parameter-overrides", f"Runtime={RUNTIME}", f"Architecture={ARCHITECTURE}"]
    run(
        [str(SAM), "build", "--build-dir", str(work / "bundle"), *parameters],
        env | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"},
        log,
        ROOT,
    )
    for function in (work / "bundle").glob("*Function"):
        _compile(function, log)
    work.rename(target)


def _compile(function: Path, log: Path) -> None:
    # The zip loses the files' times, so Lambda only uses bytecode that is not checked against them. The path that
    # is compiled in is the one on Lambda: so the three bundles stay identical and are uploaded once.
    mode = ["--invalidation-mode", "unchecked-hash"]
    options = ["-q", "-s", str(function), "-p", "/var/task", *mode]
    run([sys.executable, "-m", "compileall", *options, str(function)], os.environ, log)


def _prune() -> None:
    builds = sorted(BUILDS.glob("*/"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[BUILDS_TO_KEEP:]:
        if time.time() - old.stat().st_mtime > YOUNG_SECONDS:
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
