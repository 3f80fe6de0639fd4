import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from bellhop.bus import Bus, BusError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


class Client:
    def __init__(self, *, takes: bool) -> None:
        self.takes = takes
        self.entries: list[dict[str, Any]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        if self.takes:
            self.entries += Entries
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "Throttled", "ErrorMessage": "slow down"}]}


def bus(client: Client) -> Bus:
    return Bus(lambda: cast("EventBridgeClient", client), "default")


def test_an_event_carries_its_id_so_that_a_second_copy_is_recognised() -> None:
    client = Client(takes=True)
    bus(client).publish("bellhop.app.disabled", "pager#1", {"app_id": "pager"})
    [entry] = client.entries
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == (
        "bellhop",
        "bellhop.app.disabled",
        "default",
    )
    assert json.loads(entry["Detail"]) == {"id": "pager#1", "app_id": "pager"}


def test_an_event_that_the_bus_refuses_is_a_fault_though_the_call_succeeded() -> None:
    with pytest.raises(BusError, match=r"bellhop\.app\.disabled was refused: Throttled slow down"):
        bus(Client(takes=False)).publish("bellhop.app.disabled", "pager#1", {})
