"""The template as CloudFormation deploys it: its conditions decided by parameters."""

from typing import Any

from tests.unit.template.test_template import parameters, translated

NO_VALUE = {"Ref": "AWS::NoValue"}
LOCAL = "http://127.0.0.1:4566"


def decided(kind: str, **given: str) -> dict[str, dict[str, Any]]:
    """The resources of a type that a stack with these parameters has, by name, with their properties."""
    values = {name: found.get("Default", name) for name, found in parameters().items()} | given
    holds = {name: _holds(condition, values) for name, condition in translated()["Conditions"].items()}
    found = {n: r for n, r in translated()["Resources"].items() if r["Type"] == kind}
    there = {name: r for name, r in found.items() if "Condition" not in r or holds[r["Condition"]]}
    return {name: _decide(resource["Properties"], values, holds) for name, resource in there.items()}


def _holds(condition: Any, values: dict[str, Any]) -> bool:
    match condition:
        case {"Fn::Not": [inner]}:
            return not _holds(inner, values)
        case {"Fn::Equals": [one, other]}:
            return str(_decide(one, values, {})) == str(_decide(other, values, {}))
    raise AssertionError(condition)


def _decide(part: Any, values: dict[str, Any], holds: dict[str, bool]) -> Any:
    def inner(each: Any) -> Any:
        return _decide(each, values, holds)

    match part:
        case {"Fn::If": [name, yes, no]}:
            part = inner(yes if holds[name] else no)
        case {"Fn::Split": [separator, text]}:
            part = inner(text).split(separator)
        case {"Ref": name}:
            part = values.get(name, part)
        case dict():
            pairs = ((name, inner(value)) for name, value in part.items())
            part = {name: value for name, value in pairs if value != NO_VALUE}
        case list():
            part = [value for value in map(inner, part) if value != NO_VALUE]
    return part
