import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.events import MAX_DEPTH as EVENT_DEPTH
from bellhop.events import MAX_EVENT_BYTES, parse
from bellhop.expressions import MAX_DEPTH, MAX_STEPS, MEMBERS, ExpressionError
from bellhop.filters import FILTER, FUNCTIONS, compiled
from notify.payload import Payload
from tests.support.fakes import issue_event

TAGS = [{"key": "environment", "value": "production"}, {"key": "release", "value": "7"}]
ISSUE = {"id": "42", "level": "fatal", "title": "Ünï", "culprit": None, "tags": TAGS, "count": 3, "score": 0.5}
BODY: dict[str, Any] = {
    "action": "created",
    "resource": "issue",
    "project_id": "17",
    "data": {"issue": ISSUE, "empty": "", "none": [], "nothing": {}, "no": False, "zero": 0},
}


def wants(expression: str, body: dict[str, Any] = BODY) -> bool:
    return compiled(expression).wants(body)


def refused(expression: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        compiled(expression)
    return str(caught.value)


def failed(expression: str, body: dict[str, Any] = BODY) -> str:
    with pytest.raises(ExpressionError) as caught:
        wants(expression, body)
    return str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "data.issue.level == 'fatal'",
        "contains(['error', 'fatal'], data.issue.level)",
        "data.issue.tags[?key == 'environment'].value | [0] == 'production'",
        "data.issue.tags[?key == 'environment' && value == 'production']",
        "resource != 'issue' || data.issue.level == 'fatal'",
        "data.issue.count > `2` && data.issue.score <= `0.5`",
        "data.issue.culprit == `null` && !(data.issue.culprit)",
        "starts_with(data.issue.title, 'Ü')",
        "length(data.issue.tags[*].key) == `2`",
        "contains(keys(data.issue), 'level')",
        "not_null(data.issue.culprit, project_id) == '17'",
        "type(data.issue.score) == 'number'",
        "@.action",
        "data.zero",  # in JMESPath a number is never false
    ],
)
def test_a_filter_is_true_of_what_it_describes(expression: str) -> None:
    assert wants(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "data.issue.level == 'error'",
        "data.issue.level == 'FATAL'",
        "data.issue.environment",
        "data.issue.tags[?key == 'environment' && value == 'staging']",
        *(f"data.{name}" for name in ("empty", "none", "nothing", "no")),
        "data.issue.level > `3`.x",
    ],
)
def test_a_filter_is_false_of_anything_else_as_jmespath_says(expression: str) -> None:
    assert not wants(expression)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("data.issue.level = 'fatal'", "at character 18: Unknown token '='"),
        ("data.issue.level ==", "is no JMESPath expression: it ends too early"),
        ("data.issue.level 'fatal'", "is no JMESPath expression: `fatal` at character 18"),
        ("data.issue.count > 3", "`3` at character 20; a number is written in backquotes"),
        ("", "cannot be empty"),
        ("issue.level == 'fatal'", "asks for `issue`, which no webhook has at its top; the issue is `data.issue`"),
        ('data.issue.level == "fatal"', "a text is written in single quotes: 'fatal'"),
        ("data.issue.culprit == null", "the value is written in backquotes: `null`"),
        ("data.issue.level == `fatal`", "has a text in backquotes; write it in single quotes"),
        ("contains(level, 'x')", "asks for `level`"),
        ("lower(data.issue.level)", "calls lower(); a filter has contains, ends_with"),
        ("contains(data.issue.level)", "calls contains() with 1 arguments; it takes 2"),
        ("not_null()", "calls not_null() with 0 arguments; it takes 1"),
        ("sort_by(data.issue.tags, &key)", "calls sort_by()"),
        ("&data", "an expression as an argument (&...)"),
        ("{a: data}", "an object in braces ({...})"),
        ("[data, data]", "a list in brackets with more than plain values"),
        ("!data.issue.culprit", "`!` needs parentheses, as in !(data.issue.level)"),
        ("data.issue.level == 'a' | data", "goes on with `|` after true or false"),
        ("data.issue.tags[::0]", "has a slice with a step of 0"),
        ("!" * (MAX_DEPTH + 1) + "data", f"has more than {MAX_DEPTH} terms inside one another"),
        ("!" * 490 + "data", "is nested too deeply"),
        ("(" * 490 + "data", "is nested too deeply"),
        ("data." + "a" * FILTER.max_length, "has 505 characters; at most 500 are possible"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_way_out(expression: str, reason: str) -> None:
    assert reason in refused(expression)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("contains(data.issue.culprit, 'x')", "contains() does not take a value of type null"),
        ("contains(data.issue.title, data.issue.count)", "values of different types cannot be compared"),
        ("data.issue.level > data.issue.count", "values of different types cannot be compared"),
        ("max(data.issue.tags)", "max() does not take a value of type object"),
        ("sum(data.numbers)", "cannot be evaluated: OverflowError"),
    ],
)
def test_what_cannot_be_evaluated_is_told_without_a_value_of_the_event(expression: str, reason: str) -> None:
    numbers = {"numbers": [10**308] * 2 + [0.5]}
    assert failed(expression, BODY | {"data": BODY["data"] | numbers}) == reason


def test_a_filter_knows_what_every_webhook_has_at_its_top() -> None:
    event = parse(json.dumps(issue_event()))
    assert set(json.loads(Payload(event, 0.0).body("created", "in"))) == MEMBERS


LARGE = MAX_EVENT_BYTES - 1000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"x": [1] * (LARGE // 2)}, id="numbers"),
        pytest.param({"x": [[]] * (LARGE // 3)}, id="lists"),
        pytest.param({"x": [{"a": {"b": 1}}] * (LARGE // 14)}, id="objects"),
    ],
)
@pytest.mark.parametrize(
    "expression",
    ["data.x[*]", "data.x[*].a.b", "data.x[?@ == `2`]", "data.x[][][]", "data.*[::-1]", "!(data.x) || data.x"],
)
def test_an_evaluation_ends_after_its_steps_whatever_the_event(expression: str, data: dict[str, Any]) -> None:
    assert failed(expression, {"data": data}) == f"takes more than {MAX_STEPS:,} steps on this event"


def test_a_text_of_thousands_of_digits_took_longer_to_become_a_number_than_a_filter_may() -> None:
    assert wants("to_number(data.x) > `0`", {"data": {"x": "9" * 308}})
    assert wants("to_number(data.x) == `3` && to_number(data.y) == `3`", {"data": {"x": "3", "y": 3}})
    assert wants("to_number(data.x) == `null`", {"data": {"x": "9" * 309}})
    assert wants("to_number(data.x) == `null`", {"data": {"x": "0." + "9" * 307}})


@pytest.mark.parametrize(
    ("within", "sought"),
    [
        pytest.param("a" * 2499, "a" * 1248 + "b", id="neither is long"),
        pytest.param("a" * 29_999, "a" * 14_999 + "b", id="both are long"),
        pytest.param("a" * 29_999, "a" * 99 + "b", id="as short as it may be"),
    ],
)
def test_a_search_took_longer_than_a_filter_may(within: str, sought: str) -> None:
    data = {"data": {"x": within, "y": sought}}
    expression = " || ".join(["contains(data.x, data.y)"] * 18)
    assert failed(expression, data) == f"takes more than {MAX_STEPS:,} steps on this event"


@pytest.mark.parametrize("condition", ["data.a == data.b", "!(data.a != data.b)", "contains(data.c, data.a)"])
def test_large_values_were_compared_for_a_step(condition: str) -> None:
    one, other = ([[0] * 2_000] for _ in range(2))  # a list of a list, whose length is one
    data = {"data": {"a": one, "b": other, "c": [[[0] * 1_999], other]}}
    assert wants(condition, data)
    assert failed(" && ".join([condition] * 12), data) == f"takes more than {MAX_STEPS:,} steps on this event"


def test_a_search_for_a_word_in_the_longest_text_is_within_the_steps() -> None:
    assert wants(
        "contains(data.x, 'needle') && contains(data.x, 'an')", {"data": {"x": "an " * (LARGE // 3) + "needle"}}
    )
    assert wants("contains(data.x, data.y)", {"data": {"x": ["a", ["b"]], "y": ["b"]}})


def test_an_event_may_be_nested_as_deep_as_the_contract_allows() -> None:
    deep: Any = "x"
    for _ in range(EVENT_DEPTH):
        deep = {"a": deep}
    assert wants("data == data", {"data": deep})
    assert not wants("data" + ".b" * (MAX_DEPTH - 2), {"data": deep})


PIECES = [
    *(
        "data",
        "action",
        "issue",
        "level",
        "x",
        "'a'",
        "'",
        '"',
        "`1`",
        "`null`",
        "`[[1]]`",
        "`",
        "@",
        "&",
        "!",
        "*",
    ),
    *(
        ".",
        ",",
        ":",
        "|",
        "||",
        "&&",
        "==",
        "<",
        ">=",
        "(",
        ")",
        "[",
        "]",
        "[?",
        "[]",
        "{",
        "}",
        "-1",
        "0",
        "9" * 30,
    ),
    *(" ", "\\", "\\u0000", "é", "$", *(f"{name}(" for name in FUNCTIONS), "to_string(", "sort_by("),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_is_a_filter_with_a_result_or_is_told_not_to_be_one(expression: str) -> None:
    try:
        wants(expression)
    except ExpressionError as error:
        assert str(error).isprintable()  # noqa: PT017


@given(st.text(max_size=40))
def test_any_characters_are_a_filter_or_are_told_not_to_be_one(expression: str) -> None:
    try:
        wants(expression)
    except ExpressionError as error:
        assert str(error)  # noqa: PT017
