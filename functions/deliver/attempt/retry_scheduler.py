"""How a retry arrives at its time: by the queue's own delay, or by a schedule where that is too short."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bellhop import deliveries
from bellhop.deliveries import Retry, Trial
from bellhop.queues import MAX_DELAY, OutgoingMessage, Queue

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient


@dataclass(frozen=True)
class RetryScheduler:
    """Sends retries and trials. `scheduler` makes its client when it is first needed: most never need one."""

    queue: Queue
    queue_arn: str
    scheduler: Callable[[], "EventBridgeSchedulerClient"]
    group: str
    role_arn: str
    dead_letters_arn: str
    now: Callable[[], datetime]

    def send(self, retry: Retry, seconds: int) -> None:
        """Have `retry` arrive on the Retries queue no sooner than in `seconds`."""
        if seconds <= MAX_DELAY:
            self.queue.send(OutgoingMessage(deliveries.encode(retry), retry.app_id, seconds))
        else:
            self._schedule(retry, seconds)

    def send_trial(self, trial: Trial, seconds: int) -> None:
        """Have `trial` arrive there, in at most `MAX_DELAY` seconds."""
        self.queue.send(OutgoingMessage(deliveries.encode(trial), trial.app_id, seconds))

    def _schedule(self, retry: Retry, seconds: int) -> None:
        # A schedule sends without a message group: to fair queues each such message is its own tenant.
        try:
            self.scheduler().create_schedule(
                Name=schedule_name(retry),
                GroupName=self.group,
                ScheduleExpression=f"at({_rounded_up(self.now() + timedelta(seconds=seconds))})",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": self.queue_arn,
                    "RoleArn": self.role_arn,
                    "Input": deliveries.encode(retry),
                    "DeadLetterConfig": {"Arn": self.dead_letters_arn},
                },
            )
        except ClientError as error:
            # Another copy of this message has scheduled it already. It fires once, which is enough.
            if error.response["Error"]["Code"] != "ConflictException":
                raise


def schedule_name(retry: Retry) -> str:
    """The schedule's name, another one for each attempt. The delivery's id is a hash already: 36 of 64 characters.

    Without the attempt, the next schedule could collide with one that just fired and is still being deleted.
    Source: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    """
    return f"{retry.delivery_id}-{retry.next_attempt}"


def _rounded_up(moment: datetime) -> str:
    up = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=bool(moment.microsecond))
    return up.strftime("%Y-%m-%dT%H:%M:%S")
