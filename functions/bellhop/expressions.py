"""Expressions over the body of a webhook: a part of JMESPath (<https://jmespath.org/specification.html>).

A tenant wrote it, and an event may be large. So an evaluation ends after MAX_STEPS, and makes no more than it has
steps for. What a kind of expressions may have, filters.py and transforms.py say.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jmespath.exceptions import IncompleteExpressionError, JMESPathError, JMESPathTypeError, LexerError, ParseError
from jmespath.functions import TYPES_MAP, Functions, signature
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from bellhop.event_text import MAX_INTEGER_DIGITS, Real
from bellhop.text import printable

MAX_DEPTH = 30  # terms inside one another, far below what Python's recursion takes
MAX_STEPS = 20_000  # of one evaluation: about 20 ms of a processor
TEXT_PER_STEP = 64  # characters that an evaluation makes
SEARCHED_PER_MADE = 4  # characters that a search looks at in the time of one that is made
ALWAYS_QUICK_FROM, SOUGHT_QUICK = 30_000, (6, 100)

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
_MADE = frozenset({"key_val_pair", "multi_select_dict"})

# JMESPath's names of types, by Python's, which its errors have for what is in a list. An event's numbers with a
# fraction are of no type that it knows.
_TYPES = TYPES_MAP | {Real.__name__: "number", "unknown": "number"}

_Node = dict[str, Any]


class ExpressionError(ValueError):
    """A text is no such expression, or cannot be evaluated on an event. No value of the event is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))  # a name in quotes may be any characters


@dataclass(frozen=True, slots=True)
class Kind:
    """What the expressions of one kind may have.

    `name` has its article. Those that `make` something have lists and objects made of the event.
    """

    name: str
    max_length: int  # characters
    functions: frozenset[str]
    makes: bool = False


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that can be evaluated."""

    _root: _Node

    def evaluate(self, body: Mapping[str, Any]) -> Any:
        """What the expression results in on a webhook's body, which is not changed.

        Raises:
            ExpressionError: it cannot be evaluated on this body.
        """
        try:
            return _Interpreter().visit(self._root, body)
        except ExpressionError:
            raise
        except JMESPathTypeError as error:
            given = _TYPES.get(error.actual_type, error.actual_type)
            raise ExpressionError(f"{error.function_name}() does not take a value of type {given}") from None
        except TypeError:
            raise ExpressionError("values of different types cannot be compared") from None
        except (JMESPathError, ArithmeticError, RecursionError) as error:
            raise ExpressionError(f"cannot be evaluated: {type(error).__name__}") from None


def parse(text: str, kind: Kind) -> Expression:
    """The expression that a text is.

    Raises:
        ExpressionError: it is none of this kind.
    """
    if len(text) > kind.max_length:
        raise ExpressionError(f"has {len(text):,} characters; at most {kind.max_length:,} are possible")
    root = _parse(text)
    for node, depth in _nodes(root):
        if depth > MAX_DEPTH:
            raise ExpressionError(f"has more than {MAX_DEPTH} terms inside one another; make it simpler")
        _check(node, kind)
    for name in _first_names(root):
        if name not in MEMBERS:
            raise ExpressionError(f"asks for `{name}`, which no webhook has at its top; {_hint(name)}")
    return Expression(root)


def _parse(expression: str) -> _Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            root: _Node = Parser().parse(expression).parsed
    except PendingDeprecationWarning:
        raise ExpressionError("has a text in backquotes; write it in single quotes, such as 'fatal'") from None
    except IncompleteExpressionError:
        raise ExpressionError("is no JMESPath expression: it ends too early") from None
    except LexerError as error:
        where = error.lexer_position + 1
        hint = "; write == to compare" if "'='" in error.message else ""
        raise ExpressionError(f"is no JMESPath expression: at character {where}: {error.message}{hint}") from None
    except ParseError as error:
        number = "; a number is written in backquotes" if isinstance(error.token_value, int) else ""
        where = f"`{error.token_value}` at character {error.lex_position + 1}"
        raise ExpressionError(f"is no JMESPath expression: {where}{number}") from None
    except JMESPathError as error:
        raise ExpressionError(f"is no JMESPath expression: {error}") from None
    except RecursionError:
        raise ExpressionError("is nested too deeply; make it simpler") from None
    return root


def _nodes(root: _Node) -> Iterator[tuple[_Node, int]]:
    """All nodes of an expression, each with how deep it is. Never recurses."""
    waiting = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        if node["type"] != "slice":  # its children are numbers
            waiting += [(child, depth + 1) for child in node["children"]]


def _check(node: _Node, kind: Kind) -> None:
    type_, children = node["type"], node["children"]
    if type_ not in _PATHS | _CONDITIONS | _TERMS and not (kind.makes and type_ in _MADE):
        raise ExpressionError(f"has what {kind.name} cannot have: {_named(type_)}")
    if type_ == "multi_select_list" and not kind.makes and any(child["type"] != "literal" for child in children):
        raise ExpressionError(
            "has a list in brackets with more than plain values in it, such as ['error', 'fatal']"
        )
    if type_ == "pipe" and children[0]["type"] in _TRUTHS:
        raise ExpressionError("goes on with `|` after true or false; leave out what follows")
    if type_ in _PATHS - {"slice"} and children and children[0]["type"] in _TRUTHS:
        raise ExpressionError(
            "looks for something inside true or false; `!` needs parentheses, as in !(data.issue.level)"
        )
    if type_ == "slice" and children[2] == 0:
        raise ExpressionError("has a slice with a step of 0")
    if type_ == "function_expression":
        _check_call(node["value"], len(children), kind)


def _check_call(name: str, arguments: int, kind: Kind) -> None:
    if name not in kind.functions:
        raise ExpressionError(f"calls {name}(); {kind.name} has {', '.join(sorted(kind.functions))}")
    expected = Functions.FUNCTION_TABLE[name]["signature"]
    if arguments < len(expected) or (arguments > len(expected) and not expected[-1].get("variadic")):
        raise ExpressionError(f"calls {name}() with {arguments} arguments; it takes {len(expected)}")


def _named(type_: str) -> str:
    known = {"expref": "an expression as an argument (&...)", "multi_select_dict": "an object in braces ({...})"}
    return known.get(type_, type_)


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


class _Steps:
    """What an evaluation may still spend: a step for each term, and for what a term makes.

    For a list that a term results in, that is its length. For what is made of parts, it is every value inside, at
    whatever depth: the same part may be in it many times, so `[@, @]`, 20 times in itself, is a million values.
    """

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise ExpressionError(f"takes more than {MAX_STEPS:,} steps on this event")

    def spend_on_text(self, length: int) -> None:
        self.spend(length // TEXT_PER_STEP)

    def spend_on(self, made: Any) -> None:
        waiting = [made]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self.spend_on_text(len(value))
            elif isinstance(value, list):
                self.spend(len(value))
                waiting += value
            elif isinstance(value, dict):
                self.spend(len(value))
                self.spend_on_text(sum(map(len, value)))
                waiting += value.values()
            elif isinstance(value, int):
                self.spend_on_text(value.bit_length() // 3)  # at least its digits


def _with_reals(types: Iterable[str]) -> list[str]:
    """The names of types, with that of the numbers of an event that have a fraction if numbers are among them."""
    names = list(types)
    return [*names, Real.__name__] if float.__name__ in names else names


def _search_cost(length: int, sought: int) -> int:
    """Characters that a search looks at, as text that is as quickly made.

    CPython takes an algorithm that is quick in the worst case for some lengths only. A tenant's texts make the
    other one look at each character for each one sought. See its Objects/stringlib/fastsearch.h.
    """
    if length >= ALWAYS_QUICK_FROM and SOUGHT_QUICK[0] <= sought < SOUGHT_QUICK[1]:
        return length
    return max(0, length - sought) * sought // SEARCHED_PER_MADE


class _Functions(Functions):  # type: ignore[misc]  # jmespath has no types
    """JMESPath's own, but none takes longer than what it is given is long, and what makes text pays first."""

    def __init__(self, steps: _Steps) -> None:
        self._steps = steps

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        values, elements = super()._get_allowed_pytypes(types)
        return _with_reals(values), [tuple(_with_reals(each)) for each in elements]

    @signature({"types": ["string"]}, {"types": ["array-string"]})  # type: ignore[untyped-decorator]
    def _func_join(self, separator: str, parts: list[str]) -> str:
        self._steps.spend_on_text(len(separator) * len(parts) + sum(map(len, parts)))
        return separator.join(parts)

    @signature({"types": ["array", "string"]}, {"types": []})  # type: ignore[untyped-decorator]
    def _func_contains(self, within: Any, sought: Any) -> bool:
        if isinstance(within, str) and isinstance(sought, str):
            self._steps.spend_on_text(_search_cost(len(within), len(sought)))
        elif isinstance(within, list) and isinstance(sought, dict | list):
            for _ in within:  # it is compared with each
                self._steps.spend_on(sought)
        found: bool = super()._func_contains(within, sought)
        return found

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, value: Any) -> Any:
        # The time that int() takes grows with the square of the digits.
        is_none = isinstance(value, str) and len(value) > MAX_INTEGER_DIGITS
        return None if is_none else super()._func_to_number(value)

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, value: Any) -> str:
        self._steps.spend_on(value)
        text: str = super()._func_to_string(value)
        self._steps.spend_on_text(len(text))
        return text


class _Interpreter(TreeInterpreter):  # type: ignore[misc]
    """Spends a step for each term, and for what the term makes."""

    def __init__(self) -> None:
        self._steps = _Steps()
        super().__init__(Options(custom_functions=_Functions(self._steps)))
        self.COMPARATOR_FUNC = {**TreeInterpreter.COMPARATOR_FUNC, "eq": self._equal, "ne": self._differ}

    def visit(self, node: _Node, *args: Any, **kwargs: Any) -> Any:
        result = super().visit(node, *args, **kwargs)
        self._steps.spend(1 + len(result) if isinstance(result, list) else 1)
        return result

    def visit_literal(self, node: _Node, value: Any) -> Any:
        # In a projection it stands in the result once for each element.
        return self._paid(super().visit_literal(node, value))

    def visit_multi_select_list(self, node: _Node, value: Any) -> Any:
        return self._paid(super().visit_multi_select_list(node, value))

    def visit_multi_select_dict(self, node: _Node, value: Any) -> Any:
        return self._paid(super().visit_multi_select_dict(node, value))

    def _equal(self, left: Any, right: Any) -> bool:
        if isinstance(right, dict | list):  # at the latest, the comparison ends with it
            self._steps.spend_on(right)
        equal: bool = TreeInterpreter.COMPARATOR_FUNC["eq"](left, right)
        return equal

    def _differ(self, left: Any, right: Any) -> bool:
        return not self._equal(left, right)

    def _paid(self, made: Any) -> Any:
        self._steps.spend_on(made)
        return made
