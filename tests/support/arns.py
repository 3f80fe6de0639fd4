"""The ARNs in the policies of the translated template, and whether one may be of a type of resource."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

ACCOUNT = {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012"}

# What `Arn` is of each type of resource: the return values of https://docs.aws.amazon.com/AWSCloudFormation/latest/
# TemplateReference/aws-template-resource-type-ref.html.
FORMS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-west-1:123456789012:table/{}",
    "AWS::Events::Rule": "arn:aws:events:eu-west-1:123456789012:rule/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:eu-west-1:123456789012:log-group:{}:*",
    "AWS::SQS::Queue": "arn:aws:sqs:eu-west-1:123456789012:{}",
}
STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/{}/stream/2026-11-23T12:00:00.000"

# All calls for a log group but those for its tags take its ARN with this ending:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
LOG_GROUP, LOG_GROUP_ENDING = ":log-group:${LogGroupName}", ":*"

_SLOT = re.compile(r"\$\{([^}]+)\}")
_PATHS = {"RoleNameWithPath", "ObjectName", "StreamLabel"}  # what may have slashes or colons in it


@dataclass(frozen=True, slots=True)
class Arn:
    """An ARN as a policy names it: a star stands for any characters."""

    text: str

    @property
    def is_everything(self) -> bool:
        """Whether it stands for every resource."""
        return self.text == "*"

    def may_be(self, form: str) -> bool:
        """Whether a resource of that form, such as `arn:...:table/${TableName}`, can be meant by it."""
        endings = ("", LOG_GROUP_ENDING) if form.endswith(LOG_GROUP) else ("",)
        return any(_overlap(self.text, _tokens(form + ending)) for ending in endings)


def arns(reference: Any, known: dict[str, Any]) -> Iterator[Arn]:
    """The ARNs of a statement's `Resource`, whose references are to the `known` resources of the template."""
    for each in reference if isinstance(reference, list) else [reference]:
        match each:
            case str():
                yield Arn(each)
            case {"Fn::GetAtt": [name, attribute]}:
                yield Arn(_attribute(name, attribute, known))
            case {"Fn::Sub": text}:
                yield Arn(_SLOT.sub(lambda slot: _value(slot[1], known), text))
            case _:
                raise NotImplementedError(each)


def _value(name: str, known: dict[str, Any]) -> str:
    resource, _, attribute = name.partition(".")
    return _attribute(resource, attribute, known) if attribute else ACCOUNT.get(name, name)


def _attribute(name: str, attribute: str, known: dict[str, Any]) -> str:
    return (STREAM if attribute == "StreamArn" else FORMS[known[name]["Type"]]).format(name)


def _tokens(form: str) -> tuple[str, ...]:
    """The characters of a form; each slot is one token."""
    found: list[str] = []
    for number, part in enumerate(_SLOT.split(form)):
        found += ["path" if part in _PATHS else "slot"] if number % 2 else part.replace("*", "\0")
    return tuple(found)


@cache
def _overlap(pattern: str, form: tuple[str, ...]) -> bool:
    """Whether some text is meant by both; a slot is text without `/` and `:`."""
    if not pattern and not form:
        return True
    if pattern.startswith("*") and (_overlap(pattern[1:], form) or (form and _overlap(pattern, form[1:]))):
        return True
    if form and len(form[0]) > 1:
        taken = pattern and (form[0] == "path" or pattern[0] not in "/:")
        return _overlap(pattern, form[1:]) or bool(taken and _overlap(pattern[1:], form))
    return bool(pattern and form) and form[0] in {pattern[0], "\0"} and _overlap(pattern[1:], form[1:])
