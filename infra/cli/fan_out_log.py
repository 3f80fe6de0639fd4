"""What notify logged of an event: when it was fanned out, to whom, and to whom not and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from infra.cli import log_lines
from infra.cli.doctor.looking import Deployed
from infra.cli.errors import denied_action
from infra.cli.log_lines import Log, LogLine

ENQUEUED = "deliveries enqueued"  # notify's line that names installations
MALFORMED = "event malformed"  # how its line of an event that it refused begins
SKIPPED = "event skipped: no installation gets it"  # its line of an event that reached nobody
DUPLICATE = "event skipped as a duplicate"  # how its line of a copy begins


@dataclass(frozen=True, slots=True)
class FanOutLog:
    """What notify logged of an event: when, its name, who got it, who did not and why; empty where nothing.

    `malformed`: notify refused it. `reached_nobody`: why no installation got it. `faults`: whose filter could
    not be evaluated, and why; `transform_faults`: for whom the transform failed, and why. `unread` says why
    the log was not read. `again`: when somebody got it who had got it before: it was published again, or its
    message came twice. `copies`: when copies of it were dropped as duplicates.
    """

    at: datetime | None = None
    name: str = ""
    enqueued: frozenset[str] = frozenset()
    skipped: Mapping[str, str] | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    transform_faults: Mapping[str, str] = field(default_factory=dict)
    malformed: bool = False
    reached_nobody: str = ""
    unread: str = ""
    copies: Sequence[datetime] = ()
    again: Sequence[datetime] = ()


def read(deployed: Deployed, organization_id: str, event_id: str, since: datetime, until: datetime) -> FanOutLog:
    """What notify logged of an event in that span; of a log that may not be read, why."""
    try:
        log = Log(deployed.client("logs"), deployed.stack.outputs)
        found = log.read(["notify"], since, until, log_lines.quoted(event_id))
    except ClientError as error:
        action = denied_action(error)
        if action is None:
            raise
        return FanOutLog(unread=f"you may not {action}")
    return fan_out(found, organization_id, event_id)


def fan_out(lines: Iterable[LogLine], organization_id: str, event_id: str) -> FanOutLog:
    """What notify's lines say of an event."""
    at, name, enqueued, malformed = None, "", set[str](), False
    copies, again, this_time = list[datetime](), list[datetime](), set[str]()
    skipped, faults, transform_faults = dict[str, str](), dict[str, str](), dict[str, str]()
    reached_nobody = ""
    for each in lines:
        fields = each.fields
        for record in _records(fields) if each.message == ENQUEUED else ():
            if (record["event_id"], record["organization_id"]) == (event_id, organization_id):
                at, name = at or each.at, record["event"]
                if this_time & set(record["installations"]):  # a large event is enqueued in several pieces
                    again.append(each.at)
                    this_time = set()
                this_time |= set(record["installations"])
                enqueued |= this_time
        if (fields.get("event_id"), fields.get("organization_id")) != (event_id, organization_id):
            continue
        name = name or fields.get("event_name", "")
        if each.message.startswith(DUPLICATE):
            copies.append(each.at)
        else:
            at = at or each.at
            reached_nobody = reached_nobody or _why_nobody(each)
            malformed |= each.message.startswith(MALFORMED)
            for reason, names in fields.get("skipped", {}).items():
                skipped |= dict.fromkeys(names, reason)
            faults |= fields.get("faults", {})
            found = fields.get("transform_faults", {})
            transform_faults |= {key: fault["reason"] for key, fault in found.items()}
    return FanOutLog(
        at,
        name,
        frozenset(enqueued),
        skipped,
        faults,
        transform_faults,
        malformed=malformed,
        reached_nobody="" if enqueued else reached_nobody,
        copies=copies,
        again=again,
    )


def _why_nobody(each: LogLine) -> str:
    return str(each.fields.get("reasons", "")) if each.message.startswith(SKIPPED) else ""


def _records(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a line says of each event that was enqueued."""
    for row in fields["events"]:
        yield dict(zip(fields["columns"], row, strict=True))
