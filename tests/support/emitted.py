"""The metrics that AWS and our code emit, with their dimensions."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.cloudwatch import Metric
from tests.support.monitoring import NAMESPACE

FUNCTIONS = Path(__file__).parents[2] / "functions"
SERVICES = ("notify", "deliver", "health")

# What a metric's dimension is about, as the templates name it.
QUEUES = ["IssueEvents", "Deliveries", "Retries", "Transitions"]
DEAD_LETTERS = [f"{name}DeadLetters" for name in (*QUEUES, "Schedules")]
LAMBDAS = ["NotifyFunction", "DeliverFunction", "HealthFunction"]


def of_aws() -> set[Metric]:
    """The metrics of AWS that may be watched.

    Of each queue, with the dimension QueueName, those of
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html.
    Of each function, with the dimension FunctionName, those of
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html; IteratorAge only of one that reads
    a stream.
    """
    queued = ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage")
    of_queues = {
        Metric("AWS/SQS", name, (("QueueName", queue),)) for queue in (*QUEUES, *DEAD_LETTERS) for name in queued
    }
    of_functions = {
        Metric("AWS/Lambda", name, (("FunctionName", function),))
        for function in LAMBDAS
        for name in ("Errors", "Throttles", "Invocations", "Duration", "ConcurrentExecutions")
    }
    return of_queues | of_functions | {Metric("AWS/Lambda", "IteratorAge", (("FunctionName", "HealthFunction"),))}


@cache
def of_ours() -> frozenset[Metric]:
    """The metrics whose names stand in the functions' code, with the service that counts or measures them.

    A name that the code puts together, such as `Skipped_` and a reason, is not among them. What bellhop counts,
    each function that uses it does.
    """
    return frozenset(
        Metric(NAMESPACE, name, (("service", service),))
        for path in sorted(FUNCTIONS.rglob("*.py"))
        for name in _counted(ast.parse(path.read_text()))
        for service in _services(path)
    )


def _services(path: Path) -> tuple[str, ...]:
    folder = path.relative_to(FUNCTIONS).parts[0]
    return SERVICES if folder == "bellhop" else (folder,)


def _counted(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id="telemetry") | ast.Attribute(attr="telemetry"), attr="count" | "measure"
                ),
                args=[ast.Constant(value=str() as name), *_],
            ):
                yield name
            case ast.Call(
                func=ast.Name(id="TransitionKind"), args=[_, _, _, ast.Constant(value=str() as name), *_]
            ):
                yield name
