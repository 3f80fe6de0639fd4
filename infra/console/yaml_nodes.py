"""YAML with line numbers: every scalar is the text that was written, and every problem is collected.

Reading nodes instead of objects keeps `007` and `no` as they stand in the file, and shows a key that is
written twice.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with a field, and the way out."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


@dataclass(frozen=True, slots=True)
class Value:
    """A node of the document and where it stands; what is wrong with it goes to the shared `problems`."""

    node: Node
    path: str
    line: int
    problems: list[Problem]

    def refuse(self, message: str) -> None:
        """Note what is wrong with this value."""
        self.problems.append(Problem(self.line, self.path, message))

    @property
    def is_mapping(self) -> bool:
        """Whether it is `key: value` lines."""
        return isinstance(self.node, MappingNode)

    def fields(self, known: Collection[str] | None = None) -> dict[str, "Value"]:
        """The entries of a mapping by key; `known` are the keys it may have, None means any."""
        if self._is_null():
            return {}
        if not isinstance(self.node, MappingNode):
            self.refuse("must be a mapping (`key: value` lines, indented)")
            return {}
        found: dict[str, Value] = {}
        for key, node in self.node.value:
            self._enter(found, key, node, known)
        return found

    def items(self) -> list["Value"]:
        """The entries of a list."""
        if self._is_null():
            return []
        if not isinstance(self.node, SequenceNode):
            self.refuse("must be a list (`[a, b]`, or lines that begin with `- `)")
            return []
        return [
            Value(node, f"{self.path}[{number}]", node.start_mark.line + 1, self.problems)
            for number, node in enumerate(self.node.value)
        ]

    def text(self) -> str | None:
        """The scalar as it is written; None, and a problem, where there is none."""
        if not isinstance(self.node, ScalarNode):
            self.refuse("must be one value, not a list or a mapping")
        elif self._is_null() or not self.node.value:
            self.refuse("is empty; give it a value or remove it")
        elif not self.node.value.isprintable():
            self.refuse("holds a control or invisible character; remove it")
        else:
            return str(self.node.value)
        return None

    def texts(self) -> tuple[str, ...]:
        """The scalars of a list, each once."""
        return tuple(dict.fromkeys(text for item in self.items() if (text := item.text()) is not None))

    def choice(self, options: Collection[str]) -> str | None:
        """The scalar, if it is one of `options`."""
        text = self.text()
        if text is not None and text not in options:
            self.refuse(f"is {text!r}, which is none of {', '.join(options)}{did_you_mean(text, options)}")
            return None
        return text

    def _enter(self, found: dict[str, "Value"], key: Node, node: Node, known: Collection[str] | None) -> None:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, ScalarNode) else ""
        value = Value(node, f"{self.path}.{name}".lstrip("."), line, self.problems)
        if not isinstance(key, ScalarNode) or not name.isprintable() or not name:
            self.refuse(f"has a key in line {line} that is no plain text; write `key: value`")
        elif name in found:
            value.refuse(f"is written twice, first in line {found[name].line}; keep one")
        elif known is not None and name not in known:
            value.refuse(f"is not known here; known are {', '.join(known)}{did_you_mean(name, known)}")
        else:
            found[name] = value

    def _is_null(self) -> bool:
        return isinstance(self.node, ScalarNode) and str(self.node.tag) == _NULL


def compose(text: str, problems: list[Problem]) -> Value | None:
    """The root of a document; None, and a problem, when it is not YAML or is empty."""
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problems.append(Problem(line, "", f"is not YAML: {error.problem or error.context}"))
    except (YAMLError, RecursionError) as error:
        problems.append(Problem(0, "", f"is not YAML: {str(error).partition(chr(10))[0]}"))
    else:
        if node is not None:
            return Value(node, "", 1, problems)
        problems.append(Problem(0, "", "the file is empty; begin with infra/console/example-registry.yaml"))
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest of the known words, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
