"""Events about Bellhop itself, on an EventBridge bus: for whoever automates on what happens in it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "bellhop"


class BusError(Exception):
    """The bus did not take an event; what is published again is the same event, by its `id`."""


@dataclass(frozen=True)
class Bus:
    """An event bus. `client` is made when it is first needed: most processes never do."""

    client: Callable[[], "EventBridgeClient"]
    name: str

    def publish(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        """Publish `kind`, such as "bellhop.app.disabled". It may arrive twice; `event_id`, in the detail, tells.

        Raises:
            BusError: the bus refused it, for now or for good.
        """
        # At most 256 KiB: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
        entry = {"id": event_id} | detail
        response = self.client().put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "DetailType": kind,
                    "Detail": json.dumps(entry, ensure_ascii=False),
                    "EventBusName": self.name,
                }
            ]
        )
        if response["FailedEntryCount"]:
            failed = response["Entries"][0]
            raise BusError(f"{kind} was refused: {failed.get('ErrorCode')} {failed.get('ErrorMessage')}")
