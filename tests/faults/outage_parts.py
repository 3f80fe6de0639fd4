"""The parts of the system that can have an outage."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.fault_proxy import Fault, Kind


@dataclass(frozen=True)
class Part:
    """What fails: the AWS calls that match `calls`, each `kind` for an equal share; without it the endpoints.

    `sites`: whether each endpoint has an address of its own. `retiring`: apps whose endpoints are gone for good
    during the outage, one after the other. `retry_after`: seconds that one app's endpoint asks for now and then.
    `killed`: whether all processes are killed in the middle.
    """

    title: str
    calls: str | None = None
    kinds: Sequence[Kind] = (Kind.ERROR, Kind.REFUSED)
    sites: bool = False
    retiring: int = 1
    retry_after: int = 1
    killed: bool = False

    def faults(self) -> list[Fault]:
        """What the proxy does meanwhile."""
        return [Fault(kind, self.calls, 1 / len(self.kinds)) for kind in self.kinds] if self.calls else []


PARTS = {
    "dynamodb": Part("DynamoDB", "^dynamodb:"),
    "sqs": Part("SQS takes no messages", "^sqs:"),
    "scheduler": Part("EventBridge Scheduler", "^scheduler:", retry_after=960),
    "ses": Part("SES", "^ses:", (Kind.THROTTLED, Kind.ERROR, Kind.REFUSED), retiring=4),
    "bus": Part("The event bus", "^events:"),
    "aws": Part("Every AWS call, and all processes killed", ".", killed=True),
    "receivers": Part("All endpoints, at one site"),
    "network": Part("All endpoints, each at a site of its own", sites=True),
}
