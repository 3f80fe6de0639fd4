import json
from typing import Any

import pytest

from infra.cli.errors import CommandError
from infra.cli.events_file import MOST_FAULTS, MalformedFileError, read
from tests.support.fakes import issue_event


def ids(text: str) -> list[str]:
    return [each.event.event_id for each in read(text)]


def refused(text: str) -> tuple[str, ...]:
    with pytest.raises(CommandError) as caught:
        read(text)
    return caught.value.lines


BOTH: list[dict[str, Any]] = [issue_event(event_id="e-1"), issue_event(event_id="e-2")]


def test_an_event_keeps_its_own_text() -> None:
    text = json.dumps(BOTH[0], indent=2)
    assert read(text)[0].text == text
    assert [each.text for each in read(f"[{text},\n {text.replace('e-1', 'e-2')} ]")] == [
        text,
        text.replace("e-1", "e-2"),
    ]


def test_an_array_and_json_lines_are_events_each() -> None:
    assert ids(json.dumps(BOTH)) == ["e-1", "e-2"]
    assert ids("\n".join(map(json.dumps, BOTH)) + "\n\n") == ["e-1", "e-2"]


def test_every_fault_of_every_event_is_named_by_its_place() -> None:
    bad = issue_event(event_id="a b", type="resolve", colour=1)
    fields = ["colour", "event_id", "type"]
    assert sorted(line.split(": ")[:2] for line in refused(json.dumps([BOTH[0], bad], indent=1))) == [
        ["event [1], line 11", field] for field in fields
    ]
    lines = refused("\n".join([json.dumps(BOTH[0]), json.dumps(bad)]))
    assert sorted(line.split(": ")[:2] for line in lines) == [["line 2", field] for field in fields]
    assert sorted(line.split(": ")[0] for line in refused(json.dumps(bad))) == fields


def test_a_line_that_is_no_json_is_told_by_its_own_column() -> None:
    [line] = refused("\n".join([json.dumps(BOTH[0]), '{"a": }']))
    assert line == "line 2: body: is not JSON: Expecting value: column 7"


def test_a_key_or_an_event_id_that_is_there_twice_is_refused() -> None:
    twice = json.dumps(BOTH[0]).replace('"type"', '"event_id": "e-3", "type"')
    assert refused(f"[{twice}]") == ("event [0], line 1: event_id: is there twice; write it once",)
    assert refused(json.dumps([*BOTH, BOTH[0]])) == (
        (
            'event [2], line 1: event_id: is "e-1", which event [0], line 1 has too; '
            "give each event of an organisation its own"
        ),
    )
    assert len(read(json.dumps([BOTH[0], BOTH[0] | {"organization_id": "other"}]))) == 2


def test_an_event_id_that_is_there_twice_is_told_beside_other_faults() -> None:
    of_field, of_id = refused(json.dumps([BOTH[0], BOTH[1] | {"x": 1}, BOTH[0]]))
    assert of_field.startswith("event [1], line 1: x: ")
    assert of_id.startswith('event [2], line 1: event_id: is "e-1"')


def test_the_faults_of_a_large_file_are_bounded() -> None:
    lines = refused(json.dumps([issue_event(event_id=f"e-{n}", x=1) for n in range(1000)]))
    assert len(lines) == MOST_FAULTS + 1
    assert lines[-1] == "and 900 more faults"


@pytest.mark.parametrize("between", ["\n", "\n\n", ""])
def test_several_indented_events_were_told_to_have_extra_data(between: str) -> None:
    [line] = refused(between.join(json.dumps(each, indent=2) for each in BOTH))
    assert line.startswith("body: is several objects on many lines; write each on a line of its own, or all as an")


def test_what_is_malformed_is_known_by_its_event_line_and_field() -> None:
    bad = issue_event(event_id="a b")
    for text, line in (
        (json.dumps([BOTH[0], bad], indent=1), 11),
        ("\n\n".join(map(json.dumps, [BOTH[0], bad])), 3),
    ):
        with pytest.raises(MalformedFileError) as caught:
            read(text)
        [found] = [each.document() for each in caught.value.malformed]
        assert (found["event"], found["line"], found["field"]) == (1, line, "event_id")
        assert '"a b"' in found["reason"]


@pytest.mark.parametrize("text", ["", " \n", "[]"])
def test_nothing_to_publish_is_an_error(text: str) -> None:
    assert "no event in it" in refused(text)[0]


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "nonsense\nnonsense", '{"event_id": NaN}', "[NaN]", "7"])
def test_what_is_no_event_is_refused_without_a_traceback(text: str) -> None:
    assert refused(text)


def test_a_lone_surrogate_is_refused_in_an_array_too() -> None:
    text = '[{"event_id": "e", "type": "created", "organization_id": "a", "issue": {"id": "\\ud800"}}]'
    assert "lone surrogate" in refused(text)[0]
