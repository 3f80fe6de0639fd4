"""What a bundle is built for: a Python and a processor. The bundle is checked against both."""

import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 10.0
WHO_ARE_YOU = (
    "import sys, pip; print('python%d.%d' % sys.version_info[:2], sys.executable)"  # sam build runs its pip
)
ELF_MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}


@dataclass(frozen=True)
class Target:
    """A runtime and an architecture, as the template names them, and the interpreter that builds for them."""

    runtime: str
    architecture: str
    interpreter: Path

    def __str__(self) -> str:
        return f"{self.runtime} on {self.architecture}"


def find_interpreter(runtime: str, environ: Mapping[str, str], own: str = sys.executable) -> Path | None:
    """An interpreter of that Python that runs and has pip: this one, one on the PATH, or one of pyenv's."""
    for candidate in _candidates(runtime, environ, own):
        if (found := _identify(candidate)) and found[0] == runtime:
            return Path(found[1])
    return None


def _candidates(runtime: str, environ: Mapping[str, str], own: str) -> Iterator[Path]:
    yield Path(own)
    folders = environ.get("PATH", "").split(":")
    yield from (Path(folder) / runtime for folder in folders if folder)
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    yield from pyenv.glob(f"versions/{runtime.removeprefix('python')}*/bin/{runtime}")


def _identify(python: Path) -> list[str] | None:
    # A shim of pyenv's exists for each Python that it knows; whether it runs is seen only by running it.
    if not python.exists():
        return None
    try:
        done = subprocess.run(
            [str(python), "-c", WHO_ARE_YOU], capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().split(maxsplit=1) if done.returncode == 0 else None


def foreign_modules(bundle: Path, target: Target) -> list[str]:
    """The native modules of a bundle that the target cannot load, each with what it was built for."""
    return [
        f"{path.relative_to(bundle)} is for {built}"
        for path in sorted(bundle.rglob("*.so*"))
        if (built := _built_for(path)) not in {str(target), f"any Python on {target.architecture}"}
    ]


def _built_for(module: Path) -> str:
    header = module.read_bytes()[:20]
    known = len(header) == 20 and header[:4] == b"\x7fELF"  # noqa: PLR2004 - the machine is in bytes 18 and 19
    machine = ELF_MACHINES.get(struct.unpack_from("<H", header, 18)[0]) if known else None
    python = re.search(r"\.cpython-(\d)(\d+)-", module.name)
    version = f"python{python[1]}.{python[2]}" if python else "any Python"
    return f"{version} on {machine or 'another system'}"
