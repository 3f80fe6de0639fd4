"""The body of a delivery whose attempt is about to be made, and what becomes of one whose body cannot be read."""

from pynamodb.exceptions import PynamoDBException

from bellhop import attempts, large_bodies
from bellhop.attempts import STOPPED, DeliveryRecord, NextState
from bellhop.budget import OutOfBudgetError
from bellhop.deliveries import Delivery
from bellhop.large_bodies import LostBodyError
from deliver.dependencies import DeliverDependencies, names


def read(record: DeliveryRecord, deps: DeliverDependencies) -> Delivery | None:
    """The delivery of a record that is claimed, with its body; None, and its end is written, where that is lost.

    Policy: where the table does not respond, the claim is given back, and the message comes back. What is lost is
    stopped, with a log line that names it: a further attempt would find as little, and so would a dead letter that
    is redriven. Its event, published again, begins it anew with a body.

    Raises:
        GetError, OutOfBudgetError: the table did not respond, or there is no time to ask it.
    """
    try:
        return large_bodies.load(record)
    except LostBodyError:
        attempts.finish(record, NextState(STOPPED), deps.now())
        deps.telemetry.error("delivery stopped: its body is lost; publish its event again", **names(record))
        deps.telemetry.count("DeliveryStopped")
        return None
    except (PynamoDBException, OutOfBudgetError):
        attempts.give_back(record)
        raise
