"""What notify tells of its events: the record for analytics, and who got nothing, for which reason."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bellhop.events import MAX_ID, IssueEvent
from bellhop.telemetry import Telemetry
from notify.fanout import MAX_NAMED, FanOut

LINE_BYTES = 200_000  # CloudWatch cuts a line after 256 KiB; what stands around the record is small
# Of each event's row. They stand once in a line: for each event they would take as much log as what they name.
COLUMNS = ("event_id", "event", "organization_id", "issue_id", "user_id", "installations")

Row = list[Any]  # of one event: an entry for each of COLUMNS


def report(fan_outs: Iterable[FanOut], telemetry: Telemetry) -> None:
    """Record what was enqueued, in one line for the batch, and each event that did not go to every installation.

    A record that is too large for a line goes on in the next one, where it names its event again.
    """
    chosen = list(fan_outs)
    for rows in _records(chosen):
        telemetry.info("deliveries enqueued", columns=COLUMNS, events=rows)
    for fan_out in chosen:
        if fan_out.enqueued:
            telemetry.count("DeliveryEnqueued", len(fan_out.enqueued))
        _report_skipped(fan_out, telemetry)


def _records(fan_outs: Iterable[FanOut]) -> Iterator[list[Row]]:
    line: list[Row] = []
    size = 0
    for fan_out in fan_outs:
        installations: list[str] | None = None
        for installation_id in fan_out.enqueued:
            length = len(json.dumps(installation_id)) + 2
            if line and size + length > LINE_BYTES:
                yield line
                line, size, installations = [], 0, None
            if installations is None:
                installations = []
                line.append([*_about(fan_out.event), installations])
                size += len(json.dumps(line[-1])) + 2
            installations.append(installation_id)
            size += length
    if line:
        yield line


def _about(event: IssueEvent) -> Row:
    # Without a user the system acted.
    return [event.event_id, event.name, event.organization_id, _id(event.issue), _id(event.user)]


def _id(about: dict[str, Any] | None) -> str | None:
    return str(about["id"])[:MAX_ID] if about and about.get("id") is not None else None


def _report_skipped(fan_out: FanOut, telemetry: Telemetry) -> None:
    if fan_out.unreadable:
        telemetry.error(
            "installations or their apps not read: the others get the event, then it is a dead letter for these",
            event_id=fan_out.event.event_id,
            organization_id=fan_out.event.organization_id,
            installations=fan_out.unreadable[:MAX_NAMED],
        )
    if fan_out.skips:
        telemetry.info(
            "event fanned out, but not to every installation"
            if fan_out.cursor.enqueued or not fan_out.done
            else "event skipped: no installation gets it",
            event_id=fan_out.event.event_id,
            organization_id=fan_out.event.organization_id,
            event_name=fan_out.event.name,
            deliveries=len(fan_out.enqueued),
            reasons=", ".join(sorted(fan_out.skips)),  # as text, so that a query can group by it
            skipped=fan_out.skipped,
        )
    if fan_out.filters_failed:
        telemetry.warning(
            "filter could not be evaluated: the event is delivered as if there were none",
            event_id=fan_out.event.event_id,
            organization_id=fan_out.event.organization_id,
            event_name=fan_out.event.name,
            filters=fan_out.filters_failed,
            faults=fan_out.filter_faults,
        )
    for reason, number in fan_out.skips.items():
        telemetry.count("Skipped_" + reason, number)
    if fan_out.done and not fan_out.cursor.enqueued:
        telemetry.count("EventSkipped")
