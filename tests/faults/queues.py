"""What the queues of a stack still hold, and sending its dead letters to their queues again."""

import time
from collections import Counter

from infra.local.stack import Stack

QUEUES = ("IssueEvents", "Deliveries", "Retries", "Transitions")


def redrive(stack: Stack) -> int:
    """Send every dead letter to its queue again, as an operator does; how many there were."""
    sqs, moved = stack.client("sqs"), 0
    for name in QUEUES:
        source = sqs.get_queue_url(QueueName=stack.resource(name + "DeadLetters").rpartition("/")[2])["QueueUrl"]
        while messages := sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, AttributeNames=["All"]).get(
            "Messages"
        ):
            for message in messages:
                group = message.get("Attributes", {}).get("MessageGroupId")
                sqs.send_message(
                    QueueUrl=stack.resource(name),
                    MessageBody=message["Body"],
                    **({"MessageGroupId": group} if group else {}),
                )
                sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
                moved += 1
    return moved


def dead_letters(stack: Stack) -> int:
    """How many deliveries are dead letters."""
    name, sqs = "ApproximateNumberOfMessages", stack.client("sqs")
    url = sqs.get_queue_url(QueueName=stack.resource("DeliveriesDeadLetters").rpartition("/")[2])["QueueUrl"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def outstanding(stack: Stack) -> int:
    """How many messages the queues hold, delayed and in flight too."""
    sqs = stack.client("sqs")
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    total = 0
    for name in QUEUES:
        attributes = sqs.get_queue_attributes(QueueUrl=stack.resource(name), AttributeNames=names)["Attributes"]
        total += sum(int(attributes[n]) for n in names)
    return total


def settled(stack: Stack, redriven: Counter[str]) -> bool:
    """Whether the queues are empty and have no dead letters; if they have, these are redriven and counted."""
    if outstanding(stack):
        time.sleep(1)
        return False
    redriven["messages"] += (moved := redrive(stack))
    return moved == 0
