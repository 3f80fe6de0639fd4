"""For programs that publish issue events: check an event, and send many. Needs nothing but boto3."""

from bellhop.client.contract import Fault, check
from bellhop.client.publisher import MalformedEventsError, Outcome, Publisher, PublishError

__all__ = ["Fault", "MalformedEventsError", "Outcome", "PublishError", "Publisher", "check"]
