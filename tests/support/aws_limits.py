"""What AWS takes as parameters: botocore's models of the services read in earnest, and quotas that no model has.

botocore itself checks before a call only what is required and the least lengths. The services also check the
greatest lengths, the patterns and the enumerations that the same models state.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

KIB = 1024


def faults(operation: OperationModel, parameters: dict[str, Any]) -> list[str]:
    """Why the service would refuse a call; empty if it would not."""
    shape: Any = operation.input_shape
    report = ParamValidator().validate(parameters, shape)
    found = [report.generate_report()] if report.has_errors() else []
    found += _model_faults(shape, parameters, operation.name)
    return [*found, *QUOTAS.get(operation.name, _no_quotas)(parameters)]


def _model_faults(shape: Shape, value: Any, place: str) -> Iterator[str]:
    if shape.type_name == "structure":
        members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
        for name, each in value.items():
            yield from _model_faults(members[name], each, f"{place}.{name}")
        return
    if shape.type_name == "list":
        for each in value:
            yield from _model_faults(shape.member, each, f"{place}[]")  # type: ignore[attr-defined]
    if shape.type_name == "map":
        for name, each in value.items():
            yield from _model_faults(shape.key, name, f"{place}{{}}")  # type: ignore[attr-defined]
            yield from _model_faults(shape.value, each, f"{place}.{name}")  # type: ignore[attr-defined]
    yield from _constraint_faults(shape, value, place)


def _constraint_faults(shape: Shape, value: Any, place: str) -> Iterator[str]:
    known = shape.metadata
    size = len(value) if hasattr(value, "__len__") else value
    if "max" in known and size > known["max"]:
        yield f"{place}: {size} is more than {known['max']}"
    if "pattern" in known and not re.fullmatch(known["pattern"].removeprefix("^").removesuffix("$"), value):
        yield f"{place}: {value!r} does not match {known['pattern']}"
    if "enum" in known and value not in known["enum"]:
        yield f"{place}: {value!r} is none of {known['enum']}"


# ---- Quotas and rules that stand in the documentation only


def _no_quotas(_: dict[str, Any]) -> Iterator[str]:
    yield from ()


def _bytes(text: str | bytes) -> int:
    return len(text.encode() if isinstance(text, str) else text)


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_GROUP = re.compile(r"[!-~]{1,128}")
_ATTRIBUTE = re.compile(r"(?!(?:aws|amazon)\.)[A-Za-z0-9_.-]{1,256}", re.IGNORECASE)
_CHARACTERS = re.compile(r"[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_ENTRY = re.compile(r"[A-Za-z0-9_-]{1,80}")


def _message(message: dict[str, Any]) -> Iterator[str]:
    attributes = message.get("MessageAttributes", {})
    if _message_size(message) > 1024 * KIB:
        yield f"a message of {_message_size(message)} bytes"
    if not _CHARACTERS.fullmatch(message["MessageBody"]):
        yield "a message with a character that SQS does not allow, or without any"
    if not 0 <= message.get("DelaySeconds", 0) <= 900:
        yield f"a delay of {message['DelaySeconds']} seconds"
    if "MessageGroupId" in message and not _GROUP.fullmatch(message["MessageGroupId"]):
        yield f"the message group {message['MessageGroupId']!r}"
    if len(attributes) > 10:
        yield f"{len(attributes)} message attributes"
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name) or not _CHARACTERS.fullmatch(value["StringValue"]):
            yield f"the message attribute {name!r}: {value['StringValue']!r}"


def _message_size(message: dict[str, Any]) -> int:
    attributes = message.get("MessageAttributes", {}).items()
    beside = sum(map(_bytes, (text for name, value in attributes for text in (name, *value.values()))))
    return _bytes(message["MessageBody"]) + beside


def _message_batch(parameters: dict[str, Any]) -> Iterator[str]:
    entries = parameters["Entries"]
    if not 1 <= len(entries) <= 10 or len({entry["Id"] for entry in entries}) < len(entries):
        yield f"{len(entries)} entries, or two of one id"
    if sum(map(_message_size, entries)) > 1024 * KIB:
        yield f"a batch of {sum(map(_message_size, entries))} bytes"
    for entry in entries:
        if not _ENTRY.fullmatch(entry["Id"]):
            yield f"the entry {entry['Id']!r}"
        yield from _message(entry)


# https://docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html
def _schedule(parameters: dict[str, Any]) -> Iterator[str]:
    if _bytes(parameters["Target"]["Input"]) > 256 * KIB:
        yield "an input of more than 256 KiB"
    if not re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)", parameters["ScheduleExpression"]):
        yield f"the expression {parameters['ScheduleExpression']}"


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
def _events(parameters: dict[str, Any]) -> Iterator[str]:
    texts = [[entry[name] for name in ("Source", "DetailType", "Detail")] for entry in parameters["Entries"]]
    if sum(_bytes(text) for entry in texts for text in entry) > 256 * KIB:
        yield "entries of more than 256 KiB"
    for source, kind, _ in texts:
        if not 0 < len(source) <= 256 or not 0 < len(kind) <= 128:
            yield f"the source {source!r} with the detail type {kind!r}"


# https://docs.aws.amazon.com/ses/latest/dg/quotas.html: 40 MB, 50 recipients
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html: addresses of 320 characters
# RFC 5322 section 2.1.1: a line of 998 characters, of which UTF-8 in base64 (RFC 2047) takes three bytes as four
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SUBJECT_BYTES = 998 * 3 // 4 - len("Subject: =?UTF-8?B??=")


def _mail(parameters: dict[str, Any]) -> Iterator[str]:
    recipients = parameters["Destination"]["ToAddresses"]
    content = parameters["Content"]["Simple"]
    if len(recipients) > 50 or any(len(each) > 320 or not each.isascii() for each in recipients):
        yield f"the recipients {recipients}"
    for tag in parameters["EmailTags"]:
        if not _TAG.fullmatch(tag["Name"]) or not _TAG.fullmatch(tag["Value"]):
            yield f"the tag {tag}"
    subject = content["Subject"]["Data"]
    if _bytes(subject) > _SUBJECT_BYTES or not subject.isprintable():
        yield f"the subject {subject!r}"
    if sum(_bytes(part["Data"]) for part in content["Body"].values()) > 1024 * KIB:
        yield "a body of more than 1 MiB: SES takes more, no reader does"


# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_EXPRESSIONS = ("UpdateExpression", "ConditionExpression", "FilterExpression", "KeyConditionExpression")
_OPERATORS = re.compile(r"<>|<=|>=|[=<>+]|\b(?:AND|OR|NOT|IN|BETWEEN)\b|\b[a-z_]+(?= ?\()")


def _expressions(request: dict[str, Any]) -> Iterator[str]:
    for expression in (request[name] for name in _EXPRESSIONS if name in request):
        if _bytes(expression) > 4 * KIB or len(_OPERATORS.findall(expression)) > 300:
            yield f"an expression of {_bytes(expression)} bytes: {expression[:200]}"
    for placeholder in (
        *request.get("ExpressionAttributeNames", {}),
        *request.get("ExpressionAttributeValues", {}),
    ):
        if _bytes(placeholder) > 255:
            yield f"the placeholder {placeholder}"
    if _item_size(request.get("ExpressionAttributeValues", {})) > 2048 * KIB:
        yield "values of more than 2 MiB"


def _write(request: dict[str, Any]) -> Iterator[str]:
    yield from _expressions(request)
    if (size := _item_size(request.get("Item", {}))) > 400 * KIB:
        yield f"an item of {size} bytes"


def _batch(parameters: dict[str, Any]) -> Iterator[str]:
    keys = sum(len(of_table["Keys"]) for of_table in parameters["RequestItems"].values())
    if keys > 100:  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
        yield f"{keys} keys"


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
def _batch_write(parameters: dict[str, Any]) -> Iterator[str]:
    writes = [write["PutRequest"]["Item"] for each in parameters["RequestItems"].values() for write in each]
    if len(writes) > 25 or sum(map(_item_size, writes)) > 16 * 1024 * KIB:
        yield f"a batch of {len(writes)} writes"
    for item in writes:
        yield from _write({"Item": item})


def _transaction(parameters: dict[str, Any]) -> Iterator[str]:
    writes = [each for action in parameters["TransactItems"] for each in action.values()]
    if len(writes) > 100 or sum(_item_size(each.get("Item", {})) for each in writes) > 4096 * KIB:
        yield f"a transaction of {len(writes)} writes"
    for each in writes:
        yield from _write(each)


def item_faults(item: dict[str, Any], hash_keys: set[str], range_keys: set[str]) -> list[str]:
    """Why DynamoDB would not keep an item, whose keys, and those of the indexes, are the named ones."""
    found = [f"an item of {_item_size(item)} bytes"] if _item_size(item) > 400 * KIB else []
    for names, most in ((hash_keys, 2048), (range_keys, 1024)):
        for name in names & set(item):
            [value] = item[name].values()
            if not 1 <= _bytes(value) <= most:
                found.append(f"the key {name} of {_bytes(value)} bytes")
    return found


def _item_size(item: Mapping[str, Any]) -> int:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html"""
    return sum(_bytes(name) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "M":
        return 3 + _item_size(content) + len(content)
    if kind == "L":
        return 3 + sum(_value_size(each) + 1 for each in content)
    if kind in {"SS", "NS", "BS"}:
        return sum(map(_bytes, content))
    return 1 if kind in {"NULL", "BOOL"} else _bytes(content)  # a number takes less than its digits


QUOTAS: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "SendMessage": _message,
    "SendMessageBatch": _message_batch,
    "CreateSchedule": _schedule,
    "PutEvents": _events,
    "SendEmail": _mail,
    "GetItem": _expressions,
    "Query": _expressions,
    "BatchGetItem": _batch,
    "BatchWriteItem": _batch_write,
    "UpdateItem": _write,
    "PutItem": _write,
    "TransactWriteItems": _transaction,
}
