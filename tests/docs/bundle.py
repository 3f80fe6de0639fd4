"""The table of docs/bundle.md, computed from the lock of the bundle and the metadata of what is installed.

`python -m tests.docs.bundle` writes it into the page.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackagePath, distribution

from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "bundle.md"
LOCK = ROOT / "functions" / "requirements.txt"
MARK = re.compile(r"(<!-- computed: bundle -->\n\|[^\n]*\n\|[^\n]*\n)((?:\|[^\n]*\n)*)")
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", re.MULTILINE)
_COMPILED = (".so", ".pyd")
_IN_WORDS = {"Apache License 2.0": "Apache-2.0"}  # where the metadata say it in words
_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",  # checked in the packages' own licence files
}


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the bundle. `bytes` are those of its files that are the same for every Python and processor."""

    name: str
    version: str
    licence: str  # as an SPDX expression
    bytes: int
    compiled: bool


def packages() -> Iterator[Package]:
    """What the lock installs, in its order.

    Raises:
        ValueError: another version is installed, so its metadata say nothing of the bundle.
    """
    for name, version in _PIN.findall(LOCK.read_text()):
        found = distribution(name)
        if found.version != version:
            raise ValueError(
                f"{name} {found.version} is installed, and {version} is in the lock: run make install"
            )
        files = list(_files(found))
        plain = (file for file in files if file.suffix not in _COMPILED)
        compiled = any(file.suffix in _COMPILED for file in files)
        yield Package(name, version, licence(found), sum(file.size or 0 for file in plain), compiled)


def _files(found: Distribution) -> Iterator[PackagePath]:
    """The package's files without its scripts and metadata, some of which the installer writes."""
    for file in found.files or ():
        if ".dist-info" not in file.parts[0] and file.parts[0] != ".." and file.suffix != ".pyc":
            yield file


def licence(found: Distribution) -> str:
    """An SPDX expression; the metadata's own words where they are none."""
    known = found.metadata.json
    stated = str(known.get("license_expression") or known.get("license", ""))
    classified = [_CLASSIFIERS[c] for c in known.get("classifier", ()) if c in _CLASSIFIERS]
    if stated in {"", "Dual License"}:
        return " OR ".join(sorted(classified))
    return _IN_WORDS.get(stated, stated)


def written(page: str) -> str:
    """The page with the table and its sum as they are now."""
    found = list(packages())
    rows = (
        f"| {p.name} | {p.version} | {p.licence} | {_kilobytes(p.bytes)} | {'yes' if p.compiled else ''} |\n"
        for p in found
    )
    whole = f"| all of them | | | {_kilobytes(sum(p.bytes for p in found))} | |\n"
    return MARK.sub(lambda mark: mark[1] + "".join(rows) + whole, page)


def _kilobytes(size: int) -> str:
    return f"{round(size / 1000):,}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
