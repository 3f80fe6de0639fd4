"""Building the template, for this machine or for AWS, once for each state of the sources."""

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
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from infra.deploy.target import Target, foreign_modules
from infra.local.processes import LocalError, run

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / ".local" / "build"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
CODE = "functions"  # beside a built template, a folder and a zip with the code of all functions
READABLE = 0o444  # by everybody, as Lambda asks
BUILDS_TO_KEEP = 3
YOUNG_SECONDS = 900  # a build younger than this may still be being deployed

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
THIS_MACHINE = Target(RUNTIME, ARCHITECTURE, Path(sys.executable))


def built_template(target: Target = THIS_MACHINE) -> Path:
    """The template as `sam build` leaves it for a Python and a processor, with bytecode.

    A build stands under a name that says what it was made of and for, so that none is taken for another.

    Raises:
        LocalError: it cannot be built, or the bundle has modules that the target cannot load.
    """
    BUILDS.mkdir(parents=True, exist_ok=True)
    build = BUILDS / _digest(target)
    with _locked(BUILDS / "lock"):
        if not build.exists():
            _build(build, target)
        os.utime(build)
        _prune()
    return build / "bundle" / "template.yaml"


def _digest(target: Target) -> str:
    state = hashlib.sha256(str(target).encode())
    for path in [
        Path(__file__).resolve(),
        ROOT / "template.yaml",
        *sorted((ROOT / "infra/monitoring").glob("*.yaml")),
        *_code(),
    ]:
        state.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _code() -> list[Path]:
    files = (path for path in (ROOT / "functions").rglob("*") if path.is_file())
    return sorted(path for path in files if "__pycache__" not in path.parts)


def _build(build: Path, target: Target) -> None:
    work = build.with_suffix(".unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    log = work / "log"
    # sam looks for the runtime's interpreter and for its pip on the PATH.
    env = os.environ | {"PATH": f"{target.interpreter.parent}{os.pathsep}{os.environ['PATH']}"}
    parameters = ["--parameter-overrides", f"Runtime={target.runtime}", f"Architecture={target.architecture}"]
    run(
        [str(SAM), "build", "--cached", "--parallel", "--build-dir", str(work / "bundle"), *parameters],
        env | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"},
        log,
        ROOT,
    )
    code = _shared(work / "bundle")
    if foreign := foreign_modules(code, target):
        raise LocalError(f"the bundle does not run as {target}: {'; '.join(foreign)}")
    _compile(code, target, log)
    _pack(code)
    work.rename(build)


def _shared(bundle: Path) -> Path:
    """Have all functions use one copy of the code, packed here: sam would pack each one's at every deployment."""
    template, code = bundle / "template.yaml", bundle / CODE
    text = template.read_text()
    for function in sorted(bundle.glob("*Function")):
        text = text.replace(f"CodeUri: {function.name}\n", f"CodeUri: {CODE}.zip\n")
        if code.exists():
            shutil.rmtree(function)
        else:
            function.rename(code)
    template.write_text(text)
    return code


def _compile(code: Path, target: Target, log: Path) -> None:
    # The zip has no times of files, so Lambda only uses bytecode that is not checked against them. The path that
    # is compiled in is the one on Lambda: so the same sources give the same zip wherever they are built.
    mode = ["--invalidation-mode", "unchecked-hash"]
    options = ["-q", "-s", str(code), "-p", "/var/task", *mode]
    run([str(target.interpreter), "-m", "compileall", *options, str(code)], os.environ, log)


def _pack(code: Path) -> None:
    with ZipFile(code.with_suffix(".zip"), "w") as archive:
        for path in sorted(path for path in code.rglob("*") if path.is_file()):
            entry = ZipInfo(path.relative_to(code).as_posix())  # of 1980: the zip is the same if the files are
            entry.external_attr = (path.stat().st_mode | READABLE) << 16
            archive.writestr(entry, path.read_bytes(), ZIP_DEFLATED)


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
