import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.events import MAX_DEPTH, MAX_EVENT_BYTES, SCHEMA_PATH, MalformedEventError, parse
from tests.support.fakes import issue_event


def malformed(event: Any) -> MalformedEventError:
    with pytest.raises(MalformedEventError) as caught:
        parse(event if isinstance(event, str) else json.dumps(event))
    return caught.value


def test_a_minimal_event_is_about_an_issue_and_concerns_every_installation() -> None:
    event = parse(json.dumps(issue_event()))
    assert event.name == "issue.created"
    assert event.installation_id is None
    assert event.user is None


@pytest.mark.parametrize("kind", ["created", "resolved", "assigned", "archived", "ignored", "unresolved"])
def test_every_issue_event_of_the_contract_is_valid(kind: str) -> None:
    assert parse(json.dumps(issue_event(type=kind))).name == f"issue.{kind}"


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("comment", "updated"),
        ("error", "created"),
        ("event_alert", "triggered"),
        ("metric_alert", "critical"),
        ("installation", "deleted"),
    ],
)
def test_every_other_resource_has_its_own_types_and_needs_no_issue(resource: str, kind: str) -> None:
    assert parse(json.dumps(issue_event(resource=resource, type=kind, issue=...))).name == f"{resource}.{kind}"
    assert malformed(issue_event(resource=resource, type="nonsense", issue=...)).field == "type"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_id": ...}, "event_id"),
        ({"event_id": "a b"}, "event_id"),
        ({"event_id": "x" * 65}, "event_id"),
        ({"event_id": "ev1\n"}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"type": "deleted"}, "type"),
        ({"resource": "sticker"}, "resource"),
        ({"organization_id": ""}, "organization_id"),
        ({"organization_id": None}, "organization_id"),
        ({"organization_id": "a b"}, "organization_id"),
        ({"project_id": 7}, "project_id"),
        ({"issue": ...}, "issue"),
        ({"issue": None}, "issue"),
        ({"issue": {"title": "no id"}}, "issue.id"),
        ({"user": {"name": "no id"}}, "user.id"),
        ({"user": "ada"}, "user"),
        ({"data": []}, "data"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"projectid": "1"}, "projectid"),
    ],
)
def test_a_malformed_event_is_refused_with_the_field_and_the_reason(change: dict[str, Any], field: str) -> None:
    error = malformed(issue_event(**change))
    assert error.field == field
    assert error.reason


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"type": "delete"}, "unresolved"),
        ({"resource": "comment", "type": "resolved"}, "updated"),
        ({"resource": "sticker"}, "metric_alert"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(change: dict[str, Any], known: str) -> None:
    assert known in malformed(issue_event(**change)).reason


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    assert "project_id" in malformed(issue_event(projectid="1")).reason


def test_a_dead_letter_spoke_of_one_fault_alone_in_the_words_of_a_validator() -> None:
    error = malformed(issue_event(event_id=..., type="reopened", user={"id": 7}))
    assert error.field == "event_id"
    assert error.reason.startswith("is missing; add an id")
    assert error.reason.endswith("(also wrong: user.name, type)")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"x"', "[" * 100_000, '{"a": NaN}', '{"a": Infinity}', "9" * 5000]
)
def test_what_is_not_a_json_object_is_malformed(text: str) -> None:
    assert malformed(text).field == "body"


def test_a_lone_surrogate_is_malformed_and_its_field_named() -> None:
    text = json.dumps(issue_event()).replace("ValueError", "\\ud800")
    assert malformed(text).field == "issue"


def test_a_pair_of_surrogates_is_a_character() -> None:
    event = parse(json.dumps(issue_event(issue={"id": "1", "title": "\U0001f600"})))
    assert event.issue == {"id": "1", "title": "\U0001f600"}


def test_an_event_over_256_kib_of_utf8_is_malformed() -> None:
    text = json.dumps(issue_event(issue={"id": "1", "title": "ä" * (MAX_EVENT_BYTES // 2)}), ensure_ascii=False)
    assert "bytes" in malformed(text).reason


def test_the_schema_is_a_valid_draft_7_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json.loads(SCHEMA_PATH.read_text()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(issue_event() | {"user": 1, "data": 1, "x": 1})), JSON))
def test_any_json_is_either_an_event_or_malformed_and_the_published_schema_agrees(
    document: dict[str, Any],
) -> None:
    schema = json.loads(SCHEMA_PATH.read_text())
    published = jsonschema.Draft7Validator(schema).is_valid(document)
    try:
        parse(json.dumps(document))
    except MalformedEventError:
        assert not published or "\\ud" in json.dumps(document)
    else:
        assert published


@pytest.mark.parametrize(
    ("number", "means"),
    [("1e999", "1e999 is beyond"), ("-1e999", "-1e999 is beyond"), ("9" * 309, "an integer has 309 digits")],
)
def test_a_number_that_receivers_would_read_as_infinite_is_malformed(number: str, means: str) -> None:
    text = json.dumps(issue_event(data={"n": 0})).replace('"n": 0', f'"n": {number}')
    with pytest.raises(MalformedEventError, match=means):
        parse(text)


def test_digits_in_a_string_are_no_number() -> None:
    assert parse(json.dumps(issue_event(data={"n": "9" * 400}))).data == {"n": "9" * 400}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_an_event_nested_977_deep_is_malformed_on_every_python(opening: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[opening]
    nested = opening * 977 + "1" + closing * 977
    text = json.dumps(issue_event(data={"n": 0})).replace('"n": 0', f'"n": {nested}')
    with pytest.raises(MalformedEventError, match="body: is nested more than 64 deep"):
        parse(text)


def test_an_event_nested_as_deep_as_allowed_is_read() -> None:
    nested = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
    text = json.dumps(issue_event(data={"n": 0})).replace('"n": 0', f'"n": {nested}')
    assert parse(text).texts["data"] == f'{{"n": {nested}}}'


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    assert parse(json.dumps(issue_event(data={"n": '["{' * 200})))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("event_id", '"event_id": "a", "event_id": "b", "issue": {"id": 1}'),
        ("issue.id", '"event_id": "a", "issue": {"id": 1, "id": 2}'),
        ("data.x", '"event_id": "a", "issue": {"id": 1}, "data": {"x": 1, "x": 1}'),
    ],
)
def test_a_field_that_is_there_twice_is_malformed(field: str, fields: str) -> None:
    with pytest.raises(MalformedEventError, match=f"{field}: is there twice"):
        parse('{"type": "created", "organization_id": "acme", ' + fields + "}")


@pytest.mark.parametrize("identifier", ["42.0", "4.2e1", "1.5"])
def test_an_id_with_a_fraction_or_an_exponent_is_malformed(identifier: str) -> None:
    text = json.dumps(issue_event(issue={"id": 0})).replace('"id": 0', f'"id": {identifier}')
    with pytest.raises(MalformedEventError, match=r"issue\.id"):
        parse(text)


def test_of_thousands_of_faults_a_few_are_named() -> None:
    error = malformed(issue_event(**{f"field_{number}": 1 for number in range(10_000)}))
    assert error.reason.endswith("(also wrong: field_1, field_2, field_3, field_4)")
