"""What becomes of the code that sam has built: one copy of it, packed, for all functions."""

import os
from pathlib import Path
from zipfile import ZipFile

from infra.local import build

TEMPLATE = "  {0}:\n    Properties:\n      CodeUri: {0}\n      Handler: app.handle\n"


def code(folder: Path) -> Path:
    (folder / "bellhop").mkdir(parents=True)
    (folder / "bellhop" / "app.py").write_text("def handle(): ...\n")
    (folder / "lib.so").write_bytes(b"\x7fELF")
    (folder / "lib.so").chmod(0o700)
    return folder


def test_all_functions_are_deployed_from_one_packed_copy_of_the_code(tmp_path: Path) -> None:
    functions = ["DeliverFunction", "HealthFunction", "NotifyFunction"]
    for function in functions:
        code(tmp_path / function)
    (tmp_path / "template.yaml").write_text("".join(map(TEMPLATE.format, functions)))
    build._pack(build._shared(tmp_path))
    lines = (tmp_path / "template.yaml").read_text().splitlines()
    assert [line.strip() for line in lines if "CodeUri" in line] == ["CodeUri: functions.zip"] * len(functions)
    assert {path.name for path in tmp_path.iterdir()} == {"functions", "functions.zip", "template.yaml"}
    assert ZipFile(tmp_path / "functions.zip").namelist() == ["bellhop/app.py", "lib.so"]


def test_the_same_code_is_packed_into_the_same_bytes_whenever_it_was_built(tmp_path: Path) -> None:
    first, second = code(tmp_path / "first"), code(tmp_path / "second")
    os.utime(second / "lib.so", (0, 0))
    for each in (first, second):
        build._pack(each)
    assert first.with_suffix(".zip").read_bytes() == second.with_suffix(".zip").read_bytes()


def test_what_is_packed_can_be_read_by_the_user_that_lambda_runs_as(tmp_path: Path) -> None:
    build._pack(code(tmp_path / "code"))
    modes = {entry.filename: entry.external_attr >> 16 for entry in ZipFile(tmp_path / "code.zip").infolist()}
    assert all(mode & 0o444 == 0o444 for mode in modes.values())
    assert modes["lib.so"] & 0o700 == 0o700
