"""What DynamoDB's expressions mean: conditions, key conditions, filters and updates.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

Value = dict[str, Any]  # as DynamoDB writes it: {"S": "text"}
Item = dict[str, Value]
TOKEN = re.compile(r"\s*([#:]?\w+|<>|<=|>=|[=<>()\[\],.+-])")


def plain(value: Value) -> Any:
    """A value that can be compared: text, a number, bytes, ..."""
    [(kind, content)] = value.items()
    if kind == "N":
        return Decimal(content)
    if kind in {"SS", "NS", "BS"}:
        return frozenset(content)
    if kind == "M":
        return {name: plain(each) for name, each in content.items()}
    return [plain(each) for each in content] if kind == "L" else content


@cache
def _tokens(expression: str) -> tuple[str, ...]:
    found, end = [], 0
    while expression[end:].strip():
        match = TOKEN.match(expression, end)
        assert match, expression[end:]
        found.append(match[1])
        end = match.end()
    return tuple(found)


def equal(left: Value | None, right: Value | None) -> bool:
    """Whether both are there, and the same; a number may be written in several ways."""
    return left is not None and (left == right or ("N" in left and _compare("=", left, right)))


def required(hash_key: str, request: dict[str, Any]) -> Value | None:
    """The value that a query's key condition has for the hash key."""
    tokens = _tokens(request["KeyConditionExpression"])
    names = request.get("ExpressionAttributeNames", {})
    values: dict[str, Value] = request["ExpressionAttributeValues"]
    for name, sign, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if sign == "=" and names.get(name, name) == hash_key:
            return values[value]
    return None


def holds(expression: str | None, request: dict[str, Any], item: Item) -> bool:
    if not expression:
        return True
    reader = _Reader(_tokens(expression), request, item)
    result = reader.either()
    assert reader.done(), expression
    return result


@dataclass
class _Reader:
    """Reads an expression from left to right, and says what it means for an item."""

    tokens: Sequence[str]
    request: dict[str, Any]
    item: Item
    at: int = 0

    def done(self) -> bool:
        return self.at == len(self.tokens)

    def peek(self) -> str:
        return "" if self.done() else self.tokens[self.at]

    def take(self, *expected: str) -> str:
        token = self.peek()
        assert not expected or token.upper() in expected, (token, expected)
        self.at += 1
        return token

    def either(self) -> bool:
        result = self.both()
        while self.peek().upper() == "OR":
            self.take()
            result |= self.both()
        return result

    def both(self) -> bool:
        result = self.negated()
        while self.peek().upper() == "AND":
            self.take()
            result &= self.negated()
        return result

    def negated(self) -> bool:
        if self.peek().upper() == "NOT":
            self.take()
            return not self.negated()
        if self.peek() == "(":
            self.take()
            result = self.either()
            self.take(")")
            return result
        return self.function() if self.peek() in _FUNCTIONS else self.comparison()

    def function(self) -> bool:
        name = self.take()
        arguments = self.listed()
        return _FUNCTIONS[name](*arguments)

    def listed(self) -> list[Any]:
        self.take("(")
        found = [self.operand()]
        while self.peek() == ",":
            self.take()
            found.append(self.operand())
        self.take(")")
        return found

    def comparison(self) -> bool:
        left, sign = self.operand(), self.take().upper()
        if sign == "IN":
            return any(_compare("=", left, each) for each in self.listed())
        if sign == "BETWEEN":
            low = self.operand()
            self.take("AND")
            high = self.operand()
            return _compare(">=", left, low) and _compare("<=", left, high)
        return _compare(sign, left, self.operand())

    def operand(self) -> Value | None:
        token = self.take()
        if token == "list_append":
            first, second = self.listed()
            return {"L": first["L"] + second["L"]}
        if token == "if_not_exists":
            return next((value for value in self.listed() if value is not None), None)
        if token.startswith(":"):
            value: Value = self.request["ExpressionAttributeValues"][token]
            return value
        found: Value | None = {"M": self.item}
        for name in self.path(token):
            found = found["M"].get(name) if found and "M" in found else None
        return found

    def path(self, token: str) -> list[str]:
        """The names on the way to an attribute, which may be within a map."""
        names = [self.name(token)]
        while self.peek() == ".":
            self.take()
            names.append(self.name(self.take()))
        assert self.peek() != "[", "paths into lists are not known here"
        return names

    def name(self, token: str) -> str:
        return str(self.request["ExpressionAttributeNames"][token]) if token.startswith("#") else token


def _compare(sign: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None or left.keys() != right.keys():
        return sign == "<>" and left is not right
    return bool(_OPERATORS[sign](plain(left), plain(right)))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _contains(container: Value | None, part: Value) -> bool:
    if container is None:
        return False
    return plain(part) in plain(container)


_FUNCTIONS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "begins_with": lambda value, start: value is not None and str(plain(value)).startswith(plain(start)),
    "contains": _contains,
}


def apply(request: dict[str, Any], item: Item, before: Item) -> None:
    """Do what an update says: every operand is read as it was before."""
    reader, kind = _Reader(_tokens(request["UpdateExpression"]), request, before), ""
    while not reader.done():
        if reader.peek() == ",":
            reader.take()
        elif reader.peek().upper() in {"SET", "REMOVE", "ADD", "DELETE"}:
            kind = reader.take().upper()
        *way, name = reader.path(reader.take())
        inside = item
        for each in way:
            inside = inside[each]["M"]
        if kind == "SET":
            reader.take("=")
            inside[name] = _assigned(reader)
        elif kind == "REMOVE":
            inside.pop(name, None)
        else:
            _change_in_place(kind, inside, name, reader.operand() or {})


def _assigned(reader: _Reader) -> Value:
    value = _term(reader)
    while reader.peek() in {"+", "-"}:
        sign = 1 if reader.take() == "+" else -1
        value = {"N": str(plain(value) + sign * plain(_term(reader)))}
    return value


def _term(reader: _Reader) -> Value:
    value = reader.operand()
    if value is None:
        raise ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")
    return value


def _change_in_place(kind: str, item: Item, name: str, value: Value) -> None:
    [(of, content)] = value.items()
    if of == "N":
        item[name] = {"N": str(plain(item.get(name, {"N": "0"})) + plain(value))}
        return
    had = set(item.get(name, {of: []})[of])
    has = had | set(content) if kind == "ADD" else had - set(content)
    if has:
        item[name] = {of: sorted(has)}
    else:
        item.pop(name, None)
