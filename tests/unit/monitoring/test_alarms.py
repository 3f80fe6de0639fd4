"""Every alarm rings when it should and is silent again afterwards, by CloudWatch's rules, on recorded series."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from tests.support import cloudwatch
from tests.support.cloudwatch import EXTRA, Metric
from tests.support.monitoring import NAMESPACE, ROOT, alarms, composites

RUNBOOK = ROOT / "infra" / "RUNBOOK.md"
PLAIN = [name for name, alarm in alarms().items() if "Metrics" not in alarm]

Minutes = Mapping[int, Sequence[float]]


def ringing_minutes(name: str, recorded: Mapping[Metric, Minutes], minutes: Iterable[int]) -> list[int]:
    return [minute for minute in minutes if cloudwatch.rings(alarms()[name], recorded, minute)]


def constant(value: float, minutes: Iterable[int]) -> dict[int, list[float]]:
    return {minute: [value] for minute in minutes}


# ---- Each alarm on one metric: fires above its threshold, not at it, and clears


def quiet_value(alarm: Mapping[str, Any]) -> float:
    """What can be recorded every minute without ringing: a sum's threshold is reached by a whole period."""
    return (
        float(alarm["Threshold"])
        if alarm.get("Statistic") != "Sum"
        else alarm["Threshold"] / (alarm["Period"] / 60)
    )


@pytest.mark.parametrize("before_and_after", ["at the threshold", "no data"])
@pytest.mark.parametrize("name", PLAIN)
def test_an_alarm_rings_when_its_threshold_is_exceeded_for_long_enough_and_is_silent_again(
    name: str, before_and_after: str
) -> None:
    alarm = alarms()[name]
    needed = alarm["EvaluationPeriods"] * cloudwatch.period(alarm)
    begin, end = 60, 60 + needed
    over = end + (1 + EXTRA) * cloudwatch.period(alarm)
    quiet = constant(quiet_value(alarm), range(200)) if before_and_after == "at the threshold" else {}
    recorded = {cloudwatch.metric(alarm): quiet | constant(alarm["Threshold"] + 1, range(begin, end))}
    ringing = ringing_minutes(name, recorded, range(200))
    assert ringing
    assert begin <= ringing[0] < end
    assert ringing[-1] < over


@pytest.mark.parametrize("name", PLAIN)
def test_only_an_alarm_for_which_one_is_too_many_rings_for_a_single_minute(name: str) -> None:
    alarm = alarms()[name]
    minute = {60: [alarm["Threshold"] + 1]}
    rang = ringing_minutes(name, {cloudwatch.metric(alarm): constant(0.0, range(200)) | minute}, range(200))
    assert bool(rang) is (alarm["EvaluationPeriods"] == 1)
    assert alarm["EvaluationPeriods"] > 1 or alarm["Threshold"] == 0


# ---- What rings in which trouble, and what does not

DURING = range(60, 105)  # minutes of the trouble


def counted(service: str, **names: float) -> dict[Metric, Minutes]:
    """So many a minute of each metric during the trouble."""
    return {
        Metric(NAMESPACE, name, (("service", service),)): constant(number, DURING)
        for name, number in names.items()
    }


def traffic(delivered: float, failed: float = 0.0, during: float | None = None) -> dict[Metric, Minutes]:
    """Attempts a minute, all the time; while there is trouble `during` are delivered."""
    usual = constant(delivered, range(240))
    busy = usual if during is None else usual | constant(during, DURING)
    series = {"DeliverySucceeded": busy} | ({"AttemptFailed": constant(failed, range(240))} if failed else {})
    return {Metric(NAMESPACE, name, (("service", "deliver"),)): values for name, values in series.items()}


def growing_age(queue: str, per_minute: float = 60.0) -> dict[Metric, Minutes]:
    name = Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", (("QueueName", queue),))
    return {name: {minute: [(minute - DURING.start) * per_minute] for minute in DURING}}


def dead(queue: str) -> dict[Metric, Minutes]:
    name = Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", (("QueueName", queue),))
    return {name: constant(3.0, DURING) | constant(0.0, range(DURING.stop, 240))}


def of_function(name: str, function: str, number: float) -> dict[Metric, Minutes]:
    return {Metric("AWS/Lambda", name, (("FunctionName", function),)): constant(number, DURING)}


def delays(*seconds: float, minutes: Iterable[int] = DURING) -> dict[Metric, Minutes]:
    return {Metric(NAMESPACE, "DeliveryDelay", (("service", "deliver"),)): dict.fromkeys(minutes, seconds)}


TROUBLE: dict[str, tuple[dict[Metric, Minutes], set[str]]] = {
    "all is well": (traffic(600, failed=12) | delays(0.1, 0.2, 0.4), set()),
    "some endpoints fail, of apps that are paused soon": (
        traffic(600, failed=60) | counted("deliver", DeliveryParked=100, PauseBegan=3),
        set(),
    ),
    "an app with two fifths of the traffic is down": (
        traffic(600, failed=5, during=360) | counted("deliver", DeliveryParked=240),
        {"DeliveriesParked"},
    ),
    "the only app of a small installation is off": (
        counted("deliver", DeliveryParked=2),
        set(),
    ),
    "the resolver does not respond": (
        traffic(600, failed=12, during=0) | counted("deliver", OurFault=600),
        {"OurFault", "OurFaultShare"},
    ),
    "a fault of ours now and then, at night": (
        traffic(2) | counted("deliver", OurFault=1),
        {"OurFault"},
    ),
    "the tables do not respond": (
        traffic(600, failed=12, during=0)
        | counted("deliver", MessageReturned=200, OutcomesNotCounted=1, SuccessesNotLogged=1)
        | counted("notify", MessageReturned=200)
        | growing_age("IssueEvents")
        | growing_age("Deliveries")
        | dead("DeliveriesDeadLetters"),
        {
            "OurFaultShare",
            "OutcomesNotCounted",
            "SuccessesNotLogged",
            "IssueEventsOld",
            "DeliveriesOld",
            "DeliveriesDeadLettersWaiting",
            "Late",
            "UnhandledDeadLetters",
        },
    ),
    "a lease is taken by another worker now and then": (
        traffic(600, failed=12) | counted("deliver", MessageReturned=2),
        set(),
    ),
    "the account's concurrency is used up": (
        traffic(600) | of_function("Throttles", "DeliverFunction", 40) | growing_age("Deliveries"),
        {"DeliverThrottles", "FunctionThrottles", "DeliveriesOld", "Late"},
    ),
    "a version that crashes is deployed": (
        traffic(600, during=0) | of_function("Errors", "DeliverFunction", 60) | growing_age("Deliveries"),
        {"DeliverErrors", "FunctionErrors", "DeliveriesOld", "Late"},
    ),
    "one delivery in fifty is late, and the queue's oldest message is not": (
        traffic(600) | delays(*[0.2] * 49, 75.0) | growing_age("Deliveries", per_minute=2.0),
        {"DeliveryDelayed", "Late"},
    ),
    "everything is late for two minutes": (
        traffic(600) | delays(90.0, 95.0, minutes=range(60, 62)) | delays(0.2, minutes=range(59)),
        set(),
    ),
    "the retry queue was purged, and hours later the sweep sends its retries again": (
        traffic(600) | counted("health", SweepFound=100),
        {"SweepFound"},
    ),
    "SES is in its sandbox": (
        {Metric(NAMESPACE, "MailRefused", (("service", "health"),)): constant(2, range(60, 105, 6))},
        {"MailRefused"},
    ),
    "SES throttles one mail": (
        {Metric(NAMESPACE, "MailRefused", (("service", "health"),)): {60: [1.0]}},
        set(),
    ),
    "a roll-back leaves deliveries that only the newer version knows": (
        traffic(600) | counted("deliver", NewerVersionWaits=1),
        {"DeliverNewerVersion", "NewerVersion"},
    ),
    "a publisher sends malformed events": (dead("IssueEventsDeadLetters"), {"IssueEventsDeadLettersWaiting"}),
}


def ringing_at(recorded: Mapping[Metric, Minutes], minute: int) -> set[str]:
    ringing = {name: cloudwatch.rings(alarm, recorded, minute) for name, alarm in alarms().items()}
    joined = {n: cloudwatch.composite_rings(c["AlarmRule"], ringing) for n, c in composites().items()}
    return {name for name, rings in (ringing | joined).items() if rings}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_rings_in_which_trouble(trouble: str) -> None:
    recorded, expected = TROUBLE[trouble]
    rang = {name for minute in range(DURING.start, DURING.stop + 1) for name in ringing_at(recorded, minute)}
    assert rang == expected
    assert ringing_at(recorded, DURING.start - 1) == set()
    assert ringing_at(recorded, DURING.stop + 90) == set()


def test_every_alarm_with_metric_math_and_every_composite_alarm_rings_in_some_trouble() -> None:
    rang = {name for _, expected in TROUBLE.values() for name in expected}
    assert set(alarms()) - set(PLAIN) | set(composites()) <= rang


@pytest.mark.parametrize("name", composites())
def test_a_composite_alarm_rings_with_each_of_its_alarms(name: str) -> None:
    rule = composites()[name]["AlarmRule"]
    joined = cloudwatch.named_in(rule)
    assert not cloudwatch.composite_rings(rule, dict.fromkeys(joined, False))
    for one in joined:
        assert cloudwatch.composite_rings(rule, {other: other == one for other in joined})


# ---- Whom an alarm tells, and what it says


def test_every_alarm_is_told_once_by_itself_or_by_a_composite_alarm() -> None:
    joined = [name for composite in composites().values() for name in cloudwatch.named_in(composite["AlarmRule"])]
    by_themselves = [name for name, alarm in alarms().items() if alarm.get("AlarmActions")]
    assert sorted(joined + by_themselves) == sorted(alarms())
    for composite in composites().values():
        assert composite["AlarmActions"] == "AlarmTopicArn"


def section(alarm: Mapping[str, Any]) -> str:
    [found] = re.findall(r'"([^"]+)" in infra/RUNBOOK.md', alarm["AlarmDescription"])
    return str(found)


def test_every_alarm_names_its_section_of_the_runbook() -> None:
    runbook = RUNBOOK.read_text()
    for alarm in (alarms() | composites()).values():
        assert f"## {section(alarm)}\n" in runbook


def test_a_composite_alarm_names_the_section_of_all_of_its_alarms() -> None:
    for composite in composites().values():
        joined = cloudwatch.named_in(composite["AlarmRule"])
        assert {section(alarms()[name]) for name in joined} == {section(composite)}


# ---- The rules themselves

ALARM: dict[str, Any] = {
    "Namespace": "N",
    "MetricName": "M",
    "Dimensions": [],
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("0-X-X", False),
        ("----0", False),
        ("-----", False),
        ("0XX-X", True),
        ("--X--", False),
        ("-X-XX", True),
    ],
)
def test_missing_data_is_judged_as_in_the_examples_of_aws(points: str, expected: bool) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html, 3 of 3.
    values = {minute: [float(point == "X")] for minute, point in enumerate(points) if point != "-"}
    assert cloudwatch.rings(ALARM, {Metric("N", "M", ()): values}, len(points) - 1) is expected


@pytest.mark.parametrize(("points", "expected"), [("--X-X", True), ("0X00-", False), ("XX0X-", True)])
def test_some_of_the_periods_may_be_enough(points: str, expected: bool) -> None:
    values = {minute: [float(point == "X")] for minute, point in enumerate(points) if point != "-"}
    alarm = ALARM | {"DatapointsToAlarm": 2}
    assert cloudwatch.rings(alarm, {Metric("N", "M", ()): values}, len(points) - 1) is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("100 * a / (a + b)", 25.0),
        ("a + gone", None),
        ("a + FILL(gone, 0)", 1.0),
        ("a / (b - 3)", None),
    ],
)
def test_metric_math_is_calculated_datapoint_by_datapoint(expression: str, expected: float | None) -> None:
    assert cloudwatch.calculate(expression, {"a": 1.0, "b": 3.0, "gone": None}) == expected


REFUSED: list[Callable[[], object]] = [
    lambda: cloudwatch.rings(ALARM | {"TreatMissingData": "ignore"}, {}, 0),
    lambda: cloudwatch.rings(ALARM | {"ComparisonOperator": "LessThanThreshold"}, {}, 0),
    lambda: cloudwatch.rings(ALARM | {"Statistic": "Average"}, {Metric("N", "M", ()): {0: [1.0]}}, 0),
    lambda: cloudwatch.calculate("IF(a, 1, 0)", {"a": 1.0}),
    lambda: cloudwatch.composite_rings('ALARM("A") AND ALARM("B")', {"A": True, "B": True}),
]


@pytest.mark.parametrize("ask", REFUSED)
def test_a_rule_that_is_not_implemented_is_refused(ask: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="not implemented"):
        ask()
