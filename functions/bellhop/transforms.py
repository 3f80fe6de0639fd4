"""An app's transform: an expression (see expressions.py) that makes the body of the app's webhooks.

It is evaluated over the body that the app would get without it. It has what a filter has, and what makes objects,
lists and text of the event.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bellhop import event_text, expressions, filters
from bellhop.event_text import MalformedEventError
from bellhop.expressions import Expression, ExpressionError, Kind

REMEMBERED = 256  # compiled transforms
TRANSFORM = Kind("a transform", 2000, filters.FUNCTIONS | {"join", "to_string"}, makes=True)


@dataclass(frozen=True, slots=True)
class Transform:
    """A transform that can be applied."""

    _expression: Expression

    def body(self, body: Mapping[str, Any]) -> bytes:
        """The body to send in place of this one: an object or a list, as compact UTF-8 JSON.

        What an event may not have, such as a number beyond a double, or more than MAX_EVENT_BYTES, no receiver
        gets either.

        Raises:
            ExpressionError: the transform cannot be evaluated on this body, or results in what is no body.
        """
        result = self._expression.evaluate(body)
        if not isinstance(result, dict | list):
            raise ExpressionError(f"results in {_kind(result)}; a body is an object or a list")
        try:
            text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
            event_text.decode(text)
        except MalformedEventError as error:
            raise ExpressionError(f"results in what no receiver could read: it {error.reason}") from None
        except RecursionError:  # a literal may be as deep as the parser takes, and stand in something deep
            raise ExpressionError("results in what is nested too deeply") from None
        return text.encode()


@lru_cache(REMEMBERED)
def compiled(text: str) -> Transform:
    """The transform that a text is.

    Raises:
        ExpressionError: it is none.
    """
    return Transform(expressions.parse(text, TRANSFORM))


def _kind(result: Any) -> str:
    if result is None:
        return "null"
    if isinstance(result, str):
        return "a text"
    return "true or false" if isinstance(result, bool) else "a number"
