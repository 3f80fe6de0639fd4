"""What notify logged of an event: when it was fanned out, to whom, and to whom not and why."""

from collections.abc import Iterable, Iterator, Mapping
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


@dataclass(slots=True)
class FanOutLog:
    """What notify logged of an event: when, its name, who got it, who did not and why; empty where nothing.

    `malformed`: notify refused it. `faults`: whose filter could not be evaluated, and why; `transform_faults`:
    for whom the transform failed, and why. `unread` says why the log was not read. `again`: when somebody got it
    who had got it before: it was published again, or its message came twice. `copies`: when copies of it were
    dropped as duplicates.
    """

    at: datetime | None = None
    name: str = ""
    enqueued: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    transform_faults: dict[str, str] = field(default_factory=dict)
    malformed: bool = False
    unread: str = ""
    copies: list[datetime] = field(default_factory=list)
    again: list[datetime] = field(default_factory=list)
    _nobody: str = ""
    _this_time: set[str] = field(default_factory=set)

    @property
    def reached_nobody(self) -> str:
        """Why no installation got it; empty where one did."""
        return "" if self.enqueued else self._nobody

    def note_enqueued(self, at: datetime, record: Mapping[str, Any]) -> None:
        """Note a record of what was enqueued; there are several of an event of many installations."""
        self.at, self.name = self.at or at, record["event"]
        if self._this_time & set(record["installations"]):
            self.again.append(at)
            self._this_time = set()
        self._this_time |= set(record["installations"])
        self.enqueued |= self._this_time

    def note(self, each: LogLine) -> None:
        """Note a line that is about the event alone."""
        fields = each.fields
        self.name = self.name or fields.get("event_name", "")
        if each.message.startswith(DUPLICATE):
            self.copies.append(each.at)
            return
        self.at = self.at or each.at
        self.malformed |= each.message.startswith(MALFORMED)
        if each.message.startswith(SKIPPED):
            self._nobody = self._nobody or str(fields.get("reasons", ""))
        for reason, names in fields.get("skipped", {}).items():
            self.skipped |= dict.fromkeys(names, reason)
        self.faults |= fields.get("faults", {})
        found = fields.get("transform_faults", {})
        self.transform_faults |= {key: fault["reason"] for key, fault in found.items()}


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
    return of_lines(found, organization_id, event_id)


def of_lines(lines: Iterable[LogLine], organization_id: str, event_id: str) -> FanOutLog:
    """What notify's lines say of an event."""
    log = FanOutLog()
    for each in lines:
        for record in _records(each):
            if _is_of(record, organization_id, event_id):
                log.note_enqueued(each.at, record)
        if _is_of(each.fields, organization_id, event_id):
            log.note(each)
    return log


def _is_of(fields: Mapping[str, Any], organization_id: str, event_id: str) -> bool:
    return (fields.get("organization_id"), fields.get("event_id")) == (organization_id, event_id)


def _records(each: LogLine) -> Iterator[Mapping[str, Any]]:
    """What a line says of each event that was enqueued."""
    if each.message == ENQUEUED:
        for row in each.fields["events"]:
            yield dict(zip(each.fields["columns"], row, strict=True))
