"""Events about Bellhop itself, on an EventBridge bus, for automation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "bellhop"


class BusError(Exception):
    """The bus did not take an event. Publishing it again is safe: its `id` stays the same."""


@dataclass(frozen=True)
class Bus:
    """An event bus. `client` is called when it is first needed, because most processes never publish."""

    client: Callable[[], "EventBridgeClient"]
    name: str

    def publish(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        """Publish an event of a `kind` such as "bellhop.app.disabled". It may arrive twice, with the same `id`.

        Raises:
            BusError: the bus refused it.
        """
        # An entry has at most 256 KiB: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
        response = self.client().put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "DetailType": kind,
                    "Detail": json.dumps({"id": event_id} | detail, ensure_ascii=False),
                    "EventBusName": self.name,
                }
            ]
        )
        if response["FailedEntryCount"]:
            failed = response["Entries"][0]
            raise BusError(f"{kind} was refused: {failed.get('ErrorCode')} {failed.get('ErrorMessage')}")
