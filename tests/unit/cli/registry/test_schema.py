import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from infra.cli.registry.events import events_of
from infra.cli.registry.validation import SCHEMA_PATH

SCHEMA: dict[str, Any] = json.loads(SCHEMA_PATH.read_text())
EXAMPLE = SCHEMA_PATH.with_name("example-registry.yaml")


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of the schema, wherever it stands."""
    for name, value in schema.items() if isinstance(schema, dict) else ():
        if name == "properties":
            yield from ((f"{path}.{field}", one) for field, one in value.items())
        yield from properties(value, f"{path}.{name}")


def test_the_schema_is_one_of_draft_2020_12() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_an_editor_that_reads_numbers_and_booleans_accepts_the_example() -> None:
    typed = YAML(typ="safe", pure=True).load(EXAMPLE.read_text())
    assert (typed["organizations"]["initech"]["id"], typed["apps"]["deploy-bot"]["auto_enable"]) == (4501, True)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(typed)] == []


def test_the_example_names_the_schema_for_editors() -> None:
    first = EXAMPLE.read_text().partition("\n")[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert EXAMPLE.with_name(name) == SCHEMA_PATH
    assert Path(EXAMPLE.with_name(name)).is_file()


def test_the_events_are_those_of_the_published_schema_of_the_issue_event() -> None:
    names = [name for resource, events in events_of().items() for name in (resource, *events)]
    assert SCHEMA["$defs"]["event"]["enum"] == names


def test_every_field_is_described() -> None:
    assert [path for path, field in properties(SCHEMA) if "description" not in field] == []


def test_an_editor_refuses_the_numbers_that_apply_refuses() -> None:
    rate = Draft202012Validator(SCHEMA["$defs"]["rate"])
    assert [number for number in (0, -1, 0.5, 5, 1000, 1001) if rate.is_valid(number)] == [0.5, 5, 1000]
