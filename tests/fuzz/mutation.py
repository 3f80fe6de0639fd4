"""Values that almost are what a version wrote: a few of their parts are gone, replaced or new."""

import copy
from typing import Any

from hypothesis import strategies as st

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "\0", "\ud800", "../..", "msg_" + "0" * 32, "9" * 400, "1e999", "NaN", "x" * 5000]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)


@st.composite
def mutated(draw: st.DrawFn, value: Any, junk: st.SearchStrategy[Any] = JUNK) -> Any:
    """A copy of a JSON value with one to three of its parts changed."""
    made = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        container = _container(draw, made)
        if not container:
            continue
        name = draw(st.sampled_from(sorted(container, key=str)))
        match draw(st.sampled_from(("replace", "replace", "remove", "add"))):
            case "replace":
                container[name] = draw(junk)
            case "remove":
                del container[name]
            case "add":
                container[draw(st.text(min_size=1, max_size=8))] = draw(junk)
    return made


def _container(draw: st.DrawFn, value: Any) -> dict[str, Any] | None:
    """One of the objects that a value has inside itself, or the value."""
    found = _containers(value)
    return draw(st.sampled_from(found)) if found else None


def _containers(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(inner for each in value.values() for inner in _containers(each))]
    return [inner for each in value for inner in _containers(each)] if isinstance(value, list) else []
