"""What a transform makes of a webhook's body, and that it ends and grows no further than it may."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import event_text
from bellhop.event_text import MAX_EVENT_BYTES
from bellhop.expressions import MAX_STEPS, ExpressionError
from bellhop.transforms import TRANSFORM, compiled
from notify.payload import SYSTEM

TAGS = [{"key": "environment", "value": "production"}, {"key": "release", "value": "7"}]
ISSUE = {"id": "42", "level": "fatal", "title": "Ünï", "culprit": None, "tags": TAGS, "count": 3, "score": 0.5}
BODY: dict[str, Any] = {"action": "created", "actor": SYSTEM, "resource": "issue", "data": {"issue": ISSUE}}
STEPS = f"takes more than {MAX_STEPS:,} steps on this event"
LARGE = MAX_EVENT_BYTES - 1000


def made(expression: str, body: dict[str, Any] = BODY) -> str:
    return compiled(expression).body(body).decode()


def failed(expression: str, body: dict[str, Any] = BODY) -> str:
    with pytest.raises(ExpressionError) as caught:
        made(expression, body)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("{text: join('', ['New issue: ', data.issue.title])}", '{"text":"New issue: Ünï"}'),
        ('{text: join(`"\\n"`, [action, to_string(data.issue.count)])}', '{"text":"created\\n3"}'),
        ("{b: data.issue.level, a: `[1, null]`}", '{"b":"fatal","a":[1,null]}'),
        ("data.issue.tags[*].{name: key}", '[{"name":"environment"},{"name":"release"}]'),
        ("[action, data.issue.culprit || 'nowhere']", '["created","nowhere"]'),
        ("{title: not_null(data.issue.culprit, data.issue.title)}", '{"title":"Ünï"}'),
        ("{fatal: data.issue.level == 'fatal', score: data.issue.score}", '{"fatal":true,"score":0.5}'),
        ("actor", '{"type":"application","id":"sentry","name":"Sentry"}'),
        ("data.nothing || `{}`", "{}"),
    ],
)
def test_a_transform_makes_the_body_as_compact_json_in_the_order_in_which_it_is_written(
    expression: str, body: str
) -> None:
    assert made(expression) == body


def test_what_is_not_changed_is_the_whole_body() -> None:
    assert json.loads(made("@")) == BODY


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("data.issue.culprit", "results in null; a body is an object or a list"),
        ("data.issue.title", "results in a text; a body is an object or a list"),
        ("data.issue.count", "results in a number; a body"),
        ("data.issue == `1`", "results in true or false; a body"),
        ("{text: join('', [data.issue.culprit])}", "join() does not take a value of type null"),
        ("{a: to_number('inf')}", "results in what no receiver could read: it is not JSON: Infinity"),
        ("{a: `" + "9" * 309 + "`}", "results in what no receiver could read: it is not JSON: an integer has 309"),
        ('{a: `"\\ud800"`}', "results in what no receiver could read: it has a character that UTF-8"),
    ],
)
def test_what_is_no_body_is_told_without_a_value_of_the_event(expression: str, reason: str) -> None:
    assert failed(expression).startswith(reason)


def test_a_body_is_no_larger_than_an_event_may_be() -> None:
    body = {"data": {"x": "a" * LARGE}}
    assert len(made("data", body)) > LARGE
    assert failed("[data, data]", body) == (
        f"results in what no receiver could read: it has {2 * len(made('data', body)) + 3} bytes; "
        f"at most {MAX_EVENT_BYTES} are allowed"
    )


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{text: 'a'", "ends too early"),
        ("{text: title}", "asks for `title`, which no webhook has at its top"),
        ("data.issue.{text: nowhere} | {a: @, b: 'x'", "ends too early"),
        ("{text: lower(data.x)}", "calls lower(); a transform has contains, ends_with, join"),
        ("{text: join('', [data.x], data.y)}", "calls join() with 3 arguments; it takes 2"),
        ("map(&key, data.issue.tags)", "calls map()"),
        ("{a: &data}", "has what a transform cannot have: an expression as an argument (&...)"),
        ("{a: `fatal`}", "has a text in backquotes"),
        ("{a: !data.x}", "`!` needs parentheses"),
        ("{a:" * 20 + "data" + "}" * 20, "has more than 30 terms inside one another"),
        ("data." + "a" * TRANSFORM.max_length, "has 2,005 characters; at most 2,000 are possible"),
    ],
)
def test_what_is_no_transform_is_refused_with_the_way_out(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compiled(expression)
    assert reason in str(caught.value)


def times(term: str, number: int) -> str:
    return " | ".join(["data.x", *[term] * number])


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(times("[@, @]", 25), id="a list that doubles"),
        pytest.param(times("{a: @, b: @}", 25), id="an object that doubles"),
        pytest.param(times("join('', [@, @])", 25), id="a text that doubles"),
        pytest.param(times("to_string([@, @])", 25), id="a text of JSON that doubles"),
        pytest.param("[join(data.x, [" + ", ".join(["data.x"] * 100) + "])]", id="a text between many"),
        pytest.param("[" + ", ".join(["data"] * 240) + "]", id="a text many times"),
    ],
)
def test_nothing_is_made_that_its_steps_do_not_pay_for(expression: str) -> None:
    assert failed(expression, {"data": {"x": "a" * LARGE}}) == STEPS


def test_a_value_that_is_made_again_at_each_depth_is_paid_for_each_time() -> None:
    body = {"data": {"x": [1] * 5_000}}
    assert made("{a: data}", body)
    assert failed("{a: {a: {a: {a: data}}}}", body) == STEPS


@pytest.mark.parametrize("literal", ['{"a":[' + ",".join(["[]"] * 635) + "]}", '"' + "a" * 1_900 + '"'])
def test_a_literal_stood_in_the_result_once_for_each_element_and_nobody_paid_for_it(literal: str) -> None:
    body = {"data": {"l": [1] * 3_900}}
    assert made("data.l[*].not_null(`1`)", body)
    assert failed(f"data.l[*].not_null(`{literal}`)", body) == STEPS


@pytest.mark.parametrize("wrapped", [0, 14])
def test_a_deep_literal_ended_in_an_error_that_nobody_expected(wrapped: int) -> None:
    for depth in range(100, 985, 5):  # which of them can still be parsed, and not written, is up to the stack
        literal = "`" + "[" * depth + "]" * depth + "`"
        with pytest.raises(ExpressionError):
            compiled("[" * wrapped + literal + "]" * wrapped).body({})


def test_what_is_larger_than_an_event_was_read_again_before_its_size_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_text, "_decode", lambda _: pytest.fail("it was read"))
    text = "\x01" * (MAX_EVENT_BYTES // 6)
    assert "at most" in failed("[data.x, data.x]", {"data": {"x": text}})


def test_a_number_of_many_digits_is_paid_for_as_a_text_would_be() -> None:
    huge = "`" + "9" * 1_800 + "`"
    assert failed(huge + " | " + " | ".join(["[@,@]"] * 11), {}) == STEPS


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
BODIES = VALUES.map(lambda value: {"action": "created", "data": value})
PATHS = st.sampled_from(
    ["@", "data", "action", "data.a", "data.a.b", "data[0]", "data[*].a", "data.*", "data[].b", "`1.5`", "'x'"]
)
EXPRESSIONS = st.recursive(
    PATHS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda each: "{" + ", ".join(f"k{n}: {one}" for n, one in enumerate(each)) + "}"
        ),
        st.lists(inner, max_size=3).map(lambda each: f"join('-', [{', '.join(['action', *each])}])"),
        inner.map(lambda each: f"to_string({each})"),
        st.tuples(inner, st.sampled_from(["||", "&&", "=="]), inner).map(lambda each: f"({' '.join(each)})"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, BODIES)
def test_any_transform_of_any_body_is_what_jmespath_makes_of_it_or_is_told_to_fail(
    expression: str, body: dict[str, Any]
) -> None:
    before = json.dumps(body)
    try:
        result = made(expression, body)
    except ExpressionError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert json.loads(result) == jmespath.search(expression, body)
    assert json.dumps(body) == before


PIECES = [
    *("data", "action", "issue", "x", "'a'", "'", '"', "`1`", "`null`", '`"\\ud800"`', "`", "@", "&", "!", "*"),
    *(".", ",", ":", "|", "||", "&&", "==", "<", "(", ")", "[", "]", "[?", "[]", "{", "}", "a:", "-1", "9" * 30),
    *(" ", "\\", "é", *(f"{name}(" for name in TRANSFORM.functions), "sort_by("),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_is_a_transform_with_a_body_or_is_told_not_to_be_one(expression: str) -> None:
    try:
        json.loads(made(expression))
    except ExpressionError as error:
        assert str(error).isprintable()  # noqa: PT017
