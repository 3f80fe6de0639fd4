"""A YAML file as plain values that a JSON Schema can validate, with the line of each value.

Every scalar is the text that was written, so `007` and `no` stay what they are. `null` is None.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int, ...]

EXAMPLE = "infra/cli/registry/example-registry.yaml"

_NULL = "tag:yaml.org,2002:null"
_HEADERS = 2  # where `headers` stands in the path of a header, apps.APP.headers.NAME
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEEPEST = 6  # levels; the schema needs five. An alias that contains itself would have no end


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with a value, and what to do about it; `line` 0 means the whole file."""

    line: int
    path: str
    message: str

    @classmethod
    def of(cls, line: int, path: Path, message: str) -> Self:
        """What is wrong with the value at `path`."""
        return cls(line, path_text(path), message)

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class RegistryFileError(Exception):
    """The file has problems: here are all of them, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass
class Document:
    """The values of a file, and every problem that was found so far.

    A value that was refused is None, so that later checks find only values of the right type.
    """

    root: Any = None
    problems: list[Problem] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    lines: dict[Path, int] = field(default_factory=dict)

    def report(self, path: Path, message: str) -> None:
        """Note what is wrong with a value that stays."""
        self.problems.append(Problem.of(self.lines.get(path, 0), path, message))

    def refuse(self, path: Path, message: str) -> None:
        """Note what is wrong with a value, and take it away."""
        self.report(path, message)
        self.refused.add(path)
        if not path:
            self.root = None
            return
        owner = self.root
        for part in path[:-1]:
            owner = owner[part]
        owner[path[-1]] = None


def read(text: str) -> Document:
    """Read a YAML document.

    Raises:
        RegistryFileError: the text is not YAML, or there is nothing in it.
    """
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RegistryFileError([Problem(line, "", f"is not YAML: {error.problem or error.context}")]) from None
    except (YAMLError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise RegistryFileError([Problem(0, "", f"is not YAML: {reason}")]) from None
    if node is None or _is_null(node):
        raise RegistryFileError([Problem(0, "", f"the file is empty; begin with {EXAMPLE}")])
    document = Document()
    document.root = _value(node, (), 1, document)
    return document


def path_text(path: Path) -> str:
    """A path as people write it, such as `apps.bot.events[1]`.

    It ends before a header's name that is none: a whole line may stand there, with its secret value.
    """
    if path[_HEADERS : _HEADERS + 1] == ("headers",) and not _HEADER_NAME.fullmatch(str(path[-1])):
        path = path[: _HEADERS + 1]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _value(node: Node, path: Path, line: int, document: Document) -> Any:
    document.lines[path] = line
    if len(path) > _DEEPEST:
        return _unusable(path, f"is nested too deeply; see {EXAMPLE}", document)
    if isinstance(node, MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, SequenceNode):
        items = enumerate(node.value)
        return [_value(item, (*path, n), item.start_mark.line + 1, document) for n, item in items]
    if _is_null(node):
        return None
    if not node.value.isprintable():
        return _unusable(path, "contains a control or invisible character; remove it", document)
    return str(node.value)


def _mapping(node: MappingNode, path: Path, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, ScalarNode) else ""
        if not name or not name.isprintable():
            document.report(path, f"has a key in line {line} that is no plain text; write `key: value`")
        elif name in found:
            first = document.lines[*path, name]
            message = f"is written twice, first in line {first}; keep one"
            document.problems.append(Problem.of(line, (*path, name), message))
        else:
            found[name] = _value(value, (*path, name), line, document)
    return found


def _unusable(path: Path, message: str, document: Document) -> None:
    document.report(path, message)
    document.refused.add(path)


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag) == _NULL
