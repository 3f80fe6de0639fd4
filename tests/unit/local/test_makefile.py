import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.signals import interruptible

MAKEFILE = Path(__file__).parents[3] / "Makefile"
WAITS = "print('ready', flush=True)\nsignal.pause()\n"
ENDS = "try:\n    print('ready', flush=True)\n    signal.pause()\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"


def interrupted(folder: Path, *arguments: str) -> str:
    """What make says that is interrupted, with all that it runs, as soon as something says that it is ready."""
    command = ["make", "-f", str(MAKEFILE), *arguments]
    pipe = subprocess.PIPE
    environ = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    with interruptible():
        make = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            text=True,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with make:
        assert make.stdout
        said = list[str]()
        while "ready\n" not in said:
            said.append(make.stdout.readline())
            assert said[-1], f"it ended before it was interrupted: {said}"
        try:
            os.killpg(make.pid, signal.SIGINT)
            return "".join(said) + make.communicate(timeout=60)[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(make.pid, signal.SIGKILL)


def python(path: Path, code: str) -> str:
    """A program that runs the code where Python would run a module."""
    begin = "import signal\nimport sys\nif sys.argv[1] != '-m':\n    sys.exit()\n"
    path.write_text(f"#!{sys.executable}\n{begin}{code}")
    path.chmod(0o755)
    return str(path)


def test_an_interrupted_install_ended_with_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "requirements-uv.txt").touch()
    said = interrupted(tmp_path, f"PYTHON={python(tmp_path / 'python', WAITS)}", ".venv-uv/bin/uv")
    assert "Installing the tools" in said
    assert "Traceback" not in said
    assert "cannot make a virtual environment" not in said


def test_python_says_why_it_cannot_make_an_environment(tmp_path: Path) -> None:
    (tmp_path / "requirements-uv.txt").touch()
    fails = python(tmp_path / "python", "sys.exit('ensurepip is not there')\n")
    command = ["make", "-f", str(MAKEFILE), f"PYTHON={fails}", ".venv-uv/bin/uv"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode
    assert "ensurepip is not there" in run.stderr
    assert "cannot make a virtual environment" in run.stderr


def test_an_interrupted_run_ended_with_an_error_of_make(tmp_path: Path) -> None:
    assert "***" not in interrupted(tmp_path, f"PY={python(tmp_path / 'demo', ENDS)}", "MAKE=true", "run")


def test_a_run_that_fails_fails(tmp_path: Path) -> None:
    fails = python(tmp_path / "demo", "sys.exit(1)\n")
    command = ["make", "-f", str(MAKEFILE), f"PY={fails}", "MAKE=true", "run"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode
