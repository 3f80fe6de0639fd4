"""A hook's filter: an expression (see expressions.py) that must be true of a webhook's body.

It has only what a condition needs, in which nothing grows that is not in the event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bellhop import expressions
from bellhop.expressions import Expression, Kind

REMEMBERED = 256  # compiled filters
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
FILTER = Kind("a filter", 500, FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that can be evaluated."""

    _condition: Expression

    def wants(self, body: Mapping[str, Any]) -> bool:
        """Whether the filter is true of a webhook's body. As in JMESPath, false are false, null and what is empty.

        Raises:
            ExpressionError: the filter cannot be evaluated on this body.
        """
        result = self._condition.evaluate(body)
        empty = isinstance(result, str | list | dict) and not result
        return not (result is None or result is False or empty)


@lru_cache(REMEMBERED)
def compiled(text: str) -> Filter:
    """The filter that a text is.

    Raises:
        ExpressionError: it is none.
    """
    return Filter(expressions.parse(text, FILTER))
