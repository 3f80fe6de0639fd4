"""JSON as text: its members, and how deep it is nested."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.json_text import deeper_than, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=20,
)


def depth(value: object) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


@given(VALUES, st.integers(0, 6))
def test_the_depth_is_that_of_the_brackets_outside_of_strings(value: object, limit: int) -> None:
    assert deeper_than(json.dumps(value), limit) == (depth(value) > limit)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5))
def test_an_object_is_its_members(value: dict[str, object]) -> None:
    text = json.dumps(value)
    assert {m.name: json.loads(m.value_text) for m in members(text)} == value


@pytest.mark.parametrize("end", ["", "\\", '\\"'])
def test_an_event_that_was_cut_off_inside_a_string_kept_notify_busy_for_minutes(end: str) -> None:
    # By the square of its length: 41 seconds for half of this. Now it is read once.
    inner = json.dumps(json.dumps({"q": ["x"] * 40_000}))
    assert not deeper_than('{"data":' + "[" * 40 + inner[:-1] + end, 64)
    assert deeper_than('{"data":' + "[" * 70 + inner[:-1] + end, 64)
