"""How a retry arrives at its time: by the queue's own delay, or by a schedule where that is too short."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bellhop import deliveries
from bellhop.deliveries import Delivery, Retry, Trial
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
    backoff: Callable[[int], None]

    def send(self, retry: Retry, seconds: int) -> None:
        """Have `retry` arrive on the Retries queue no sooner than in `seconds`."""
        self._send(retry, schedule_name(retry), seconds)

    def send_all(self, retries: Sequence[tuple[Retry, int]]) -> set[int]:
        """Have retries arrive there, by the queue's own delay; the positions of those that it did not take."""
        messages = [_message(retry, seconds) for retry, seconds in retries]
        return self.queue.send_all(messages, self.backoff)

    def hand_over(self, handed: Sequence[Delivery]) -> set[int]:
        """Have first attempts made by the processes of that queue; the positions of those it did not take."""
        messages = [OutgoingMessage(deliveries.encode(each), each.app_id) for each in handed]
        return self.queue.send_all(messages, self.backoff)

    def send_trial(self, trial: Trial, seconds: int) -> None:
        """Have `trial` arrive there no sooner than in `seconds`."""
        app = hashlib.sha256(trial.app_id.encode()).hexdigest()[:32]  # an id may be as long as a name
        self._send(trial, f"trial-{app}-{trial.generation}-{trial.number}", seconds)

    def wait(self, messages: Sequence[OutgoingMessage]) -> set[int]:
        """Have a newer version's messages wait there; the positions of those that the queue did not take."""
        return self.queue.send_all(messages, self.backoff)

    def _send(self, message: Retry | Trial, name: str, seconds: int) -> None:
        if seconds <= MAX_DELAY:
            self.queue.send(_message(message, seconds))
        else:
            self._schedule(message, name, seconds)

    def _schedule(self, message: Retry | Trial, name: str, seconds: int) -> None:
        # A schedule sends without a message group: to fair queues each such message is its own tenant.
        try:
            self.scheduler().create_schedule(
                Name=name,
                GroupName=self.group,
                ScheduleExpression=f"at({_rounded_up(self.now() + timedelta(seconds=seconds))})",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": self.queue_arn,
                    "RoleArn": self.role_arn,
                    "Input": deliveries.encode(message),
                    "DeadLetterConfig": {"Arn": self.dead_letters_arn},
                },
            )
        except ClientError as error:
            # Another copy of this message has scheduled it already. It fires once, which is enough.
            if error.response["Error"]["Code"] != "ConflictException":
                raise


def _message(message: Retry | Trial, seconds: int) -> OutgoingMessage:
    return OutgoingMessage(deliveries.encode(message), message.app_id, seconds)


def schedule_name(retry: Retry) -> str:
    """The schedule's name, another one for each attempt and deferral. Of 64 characters the delivery's id takes 36.

    Without them, the next schedule could collide with one that just fired and is still being deleted.
    Source: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    """
    name = f"{retry.delivery_id}-{retry.next_attempt}"
    return f"{name}-{retry.deferral}" if retry.deferral else name


def _rounded_up(moment: datetime) -> str:
    """The next full minute: a schedule for a second within one may send at any time of that minute, also before.

    Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    """
    minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
    up = minute if minute == moment else minute + timedelta(minutes=1)
    return up.strftime("%Y-%m-%dT%H:%M:%S")
