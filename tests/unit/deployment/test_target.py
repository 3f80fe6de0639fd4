"""A bundle is built for the Python and the processor that it is deployed with."""

import struct
from pathlib import Path

import pytest

from infra.deploy.target import Target, find_interpreter, foreign_modules

ARM = Target("python3.13", "arm64", Path("/usr/bin/python3.13"))
MACHINES = {"x86_64": 0x3E, "arm64": 0xB7, "riscv": 0xF3}


def module(bundle: Path, name: str, machine: str) -> None:
    bundle.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"\x7fELF" + bytes(14) + struct.pack("<H", MACHINES[machine]) + bytes(44))


def interpreter(path: Path, prints: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{prints}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "machine", "built_for"),
    [
        ("_greenlet.cpython-313-x86_64-linux-gnu.so", "x86_64", "python3.13 on x86_64"),
        ("_greenlet.cpython-312-aarch64-linux-gnu.so", "arm64", "python3.12 on arm64"),
        ("_greenlet.cpython-313-aarch64-linux-gnu.so", "x86_64", "python3.13 on x86_64"),
        ("libssl.so.3", "x86_64", "any Python on x86_64"),
        ("odd.abi3.so", "riscv", "any Python on another system"),
    ],
)
def test_a_bundle_for_another_python_or_processor_is_found_before_deliver_cannot_start(
    tmp_path: Path, name: str, machine: str, built_for: str
) -> None:
    module(tmp_path / "greenlet", name, machine)
    assert foreign_modules(tmp_path, ARM) == [f"greenlet/{name} is for {built_for}"]


def test_a_bundle_for_the_stacks_python_and_processor_is_found_right(tmp_path: Path) -> None:
    module(tmp_path, "_greenlet.cpython-313-aarch64-linux-gnu.so", "arm64")
    module(tmp_path, "odd.abi3.so", "arm64")
    (tmp_path / "app.py").write_text("")
    assert foreign_modules(tmp_path, ARM) == []


def test_a_module_that_is_no_elf_file_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "mac.cpython-313-darwin.so").write_bytes(b"\xcf\xfa\xed\xfe")
    assert foreign_modules(tmp_path, ARM) == ["mac.cpython-313-darwin.so is for python3.13 on another system"]


def test_a_shim_of_pyenv_that_does_not_run_is_passed_over_for_the_python_behind_it(tmp_path: Path) -> None:
    interpreter(tmp_path / "shims" / "python3.13", "pyenv: python3.13: command not found", 127)
    real = tmp_path / "root" / "versions" / "3.13.0" / "bin" / "python3.13"
    interpreter(real, f"python3.13 {real}")
    environ = {"PATH": str(tmp_path / "shims"), "PYENV_ROOT": str(tmp_path / "root")}
    assert find_interpreter("python3.13", environ, own=str(tmp_path / "none")) == real


def test_a_python_of_another_version_or_without_pip_is_not_taken(tmp_path: Path) -> None:
    other = interpreter(tmp_path / "other", f"python3.11 {tmp_path}/other")
    interpreter(tmp_path / "bin" / "python3.13", "ModuleNotFoundError: No module named 'pip'", 1)
    environ = {"PATH": f"{tmp_path / 'bin'}:{tmp_path / 'missing'}", "HOME": str(tmp_path)}
    assert find_interpreter("python3.13", environ, own=str(other)) is None


def test_what_is_no_program_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "python3.13").write_text("no program")
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    assert find_interpreter("python3.13", environ, own=str(tmp_path / "none")) is None
