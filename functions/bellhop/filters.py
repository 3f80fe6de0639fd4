"""A hook's filter: a JMESPath expression (<https://jmespath.org/specification.html>) over the body of a webhook.

A tenant wrote it, and an event may be large. So a filter has only what a condition needs of JMESPath. In that
nothing grows that is not in the event, and the time of a function grows no faster than what it is given. An
evaluation ends after MAX_STEPS.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jmespath.exceptions import IncompleteExpressionError, JMESPathError, JMESPathTypeError, LexerError, ParseError
from jmespath.functions import Functions, signature
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from bellhop.event_text import MAX_INTEGER_DIGITS
from bellhop.text import printable

MAX_LENGTH = 500  # characters
MAX_DEPTH = 30  # terms inside one another, far below what Python's recursion takes
MAX_STEPS = 20_000  # of one evaluation: about 20 ms of a processor
REMEMBERED = 256  # compiled filters

# What every webhook's body has at its top.
MEMBERS = frozenset(
    {
        "action",
        "actor",
        "data",
        "event_id",
        "installation",
        "occurred_at",
        "organization_id",
        "project_id",
        "resource",
    }
)
FUNCTIONS = frozenset(
    {
        "contains",
        "ends_with",
        "keys",
        "length",
        "max",
        "min",
        "not_null",
        "starts_with",
        "sum",
        "to_number",
        "type",
        "values",
    }
)

_PATHS = frozenset(
    {
        "field",
        "filter_projection",
        "flatten",
        "index",
        "index_expression",
        "pipe",
        "projection",
        "slice",
        "subexpression",
        "value_projection",
    }
)
_CONDITIONS = frozenset({"and_expression", "comparator", "not_expression", "or_expression"})
_TRUTHS = frozenset({"comparator", "not_expression"})  # nothing is inside their values
_TERMS = frozenset({"current", "function_expression", "identity", "literal", "multi_select_list"})
_KINDS = _PATHS | _CONDITIONS | _TERMS

_Node = dict[str, Any]


class FilterError(ValueError):
    """An expression is no filter, or a filter cannot be evaluated on an event. No value of the event is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))  # a name in quotes may be any characters


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that can be evaluated."""

    _root: _Node

    def wants(self, body: Mapping[str, Any]) -> bool:
        """Whether the filter is true of a webhook's body. As in JMESPath, false are false, null and what is empty.

        Raises:
            FilterError: the filter cannot be evaluated on this body.
        """
        interpreter = _Interpreter()
        try:
            return not interpreter.is_false(interpreter.visit(self._root, body))
        except FilterError:
            raise
        except JMESPathTypeError as error:
            raise FilterError(
                f"{error.function_name}() does not take a value of type {error.actual_type}"
            ) from None
        except TypeError:
            raise FilterError("values of different types cannot be compared") from None
        except (JMESPathError, ArithmeticError, RecursionError) as error:
            raise FilterError(f"cannot be evaluated: {type(error).__name__}") from None


@lru_cache(REMEMBERED)
def compiled(expression: str) -> Filter:
    """The filter that an expression is.

    Raises:
        FilterError: it is none.
    """
    if len(expression) > MAX_LENGTH:
        raise FilterError(f"has {len(expression):,} characters; at most {MAX_LENGTH:,} are possible")
    root = _parse(expression)
    for node, depth in _nodes(root):
        if depth > MAX_DEPTH:
            raise FilterError(f"has more than {MAX_DEPTH} terms inside one another; make it simpler")
        _check(node)
    for name in _first_names(root):
        if name not in MEMBERS:
            raise FilterError(f"asks for `{name}`, which no webhook has at its top; {_hint(name)}")
    return Filter(root)


def _parse(expression: str) -> _Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            root: _Node = Parser().parse(expression).parsed
    except PendingDeprecationWarning:
        raise FilterError("has a text in backquotes; write it in single quotes, such as 'fatal'") from None
    except IncompleteExpressionError:
        raise FilterError("is no JMESPath expression: it ends too early") from None
    except LexerError as error:
        where = error.lexer_position + 1
        hint = "; write == to compare" if "'='" in error.message else ""
        raise FilterError(f"is no JMESPath expression: at character {where}: {error.message}{hint}") from None
    except ParseError as error:
        number = "; a number is written in backquotes" if isinstance(error.token_value, int) else ""
        where = f"`{error.token_value}` at character {error.lex_position + 1}"
        raise FilterError(f"is no JMESPath expression: {where}{number}") from None
    except JMESPathError as error:
        raise FilterError(f"is no JMESPath expression: {error}") from None
    except RecursionError:
        raise FilterError("is nested too deeply; make it simpler") from None
    return root


def _nodes(root: _Node) -> Iterator[tuple[_Node, int]]:
    """All nodes of an expression, each with how deep it is. Never recurses."""
    waiting = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        if node["type"] != "slice":  # its children are numbers
            waiting += [(child, depth + 1) for child in node["children"]]


def _check(node: _Node) -> None:
    kind, children = node["type"], node["children"]
    if kind not in _KINDS:
        raise FilterError(f"has what a filter cannot have: {_named(kind)}")
    if kind == "multi_select_list" and any(child["type"] != "literal" for child in children):
        raise FilterError("has a list in brackets with more than plain values in it, such as ['error', 'fatal']")
    if kind == "pipe" and children[0]["type"] in _TRUTHS:
        raise FilterError("goes on with `|` after true or false; leave out what follows")
    if kind in _PATHS - {"slice"} and children and children[0]["type"] in _TRUTHS:
        raise FilterError(
            "looks for something inside true or false; `!` needs parentheses, as in !(data.issue.level)"
        )
    if kind == "slice" and children[2] == 0:
        raise FilterError("has a slice with a step of 0")
    if kind == "function_expression":
        _check_call(node["value"], len(children))


def _check_call(name: str, arguments: int) -> None:
    if name not in FUNCTIONS:
        raise FilterError(f"calls {name}(); a filter has {', '.join(sorted(FUNCTIONS))}")
    takes = Functions.FUNCTION_TABLE[name]["signature"]
    if arguments < len(takes) or (arguments > len(takes) and not takes[-1].get("variadic")):
        raise FilterError(f"calls {name}() with {arguments} arguments; it takes {len(takes)}")


def _named(kind: str) -> str:
    known = {"expref": "an expression as an argument (&...)", "multi_select_dict": "an object in braces ({...})"}
    return known.get(kind, kind)


def _first_names(node: _Node) -> Iterator[str]:
    """The names that are looked up at the top of the body."""
    if node["type"] == "field":
        yield node["value"]
    # What comes later in a path is looked up in what came before.
    looked_at = node["children"][:1] if node["type"] in _PATHS - {"slice"} else node["children"]
    for child in looked_at if node["type"] != "slice" else ():
        yield from _first_names(child)


def _hint(name: str) -> str:
    if name == "issue":
        return "the issue is `data.issue`"
    if name in {"null", "true", "false"}:
        return f"the value is written in backquotes: `{name}`"
    return f"there are {', '.join(sorted(MEMBERS))}, and a text is written in single quotes: '{name}'"


class _Functions(Functions):  # type: ignore[misc]  # jmespath has no types
    """JMESPath's own, of which none takes longer than what it is given is long."""

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, value: Any) -> Any:
        # The time that int() takes grows with the square of the digits.
        is_none = isinstance(value, str) and len(value) > MAX_INTEGER_DIGITS
        return None if is_none else super()._func_to_number(value)


class _Interpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """Counts its steps: one for each term, and one for each element of a list that a term results in."""

    def __init__(self) -> None:
        super().__init__(Options(custom_functions=_Functions()))
        self._left = MAX_STEPS

    def visit(self, node: _Node, *args: Any, **kwargs: Any) -> Any:
        result = super().visit(node, *args, **kwargs)
        self._left -= 1 + len(result) if isinstance(result, list) else 1
        if self._left < 0:
            raise FilterError(f"takes more than {MAX_STEPS:,} steps on this event")
        return result

    def is_false(self, value: Any) -> bool:
        """Whether JMESPath takes the value for false."""
        return bool(self._is_false(value))
