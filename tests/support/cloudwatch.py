"""CloudWatch's rules for alarms, as far as the templates use them, over recorded series.

What is implemented:

- A period's datapoint is the Sum, the Maximum or a percentile (by nearest rank) of the values recorded in it. The
  periods end at the minute of the evaluation. A period without values has no datapoint.
- Metric math: numbers, ids, + - * / and FILL(id, number), datapoint by datapoint. What has a missing operand, or
  is divided by zero, is missing.
- The evaluation range is `EXTRA` periods longer than EvaluationPeriods. AWS does not say how long it is; in its
  examples it is two periods longer. The newest existing datapoints are judged, as many as EvaluationPeriods; where
  there are fewer, what is missing does not breach.
- At least DatapointsToAlarm of them, by default all, must be greater than the threshold.
- A composite alarm rings while one of the alarms does that its rule joins by OR.

Other statistics, comparisons, functions, rules and treatments of missing data are refused, not guessed.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EXTRA = 2

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, order=True)
class Metric:
    """A metric with its dimensions, as the templates name it."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


# Of each metric, the values that were recorded in each minute.
Recorded = Mapping[Metric, Mapping[int, Sequence[float]]]


def metric(properties: Mapping[str, Any]) -> Metric:
    """The metric that an alarm, or a part of its metric math, names."""
    dimensions = tuple((d["Name"], d["Value"]) for d in properties["Dimensions"])
    return Metric(properties["Namespace"], properties["MetricName"], dimensions)


def metrics(alarm: Mapping[str, Any]) -> list[Metric]:
    """The metrics that an alarm watches."""
    if "Metrics" not in alarm:
        return [metric(alarm)]
    return [metric(part["MetricStat"]["Metric"]) for part in alarm["Metrics"] if "MetricStat" in part]


def period(alarm: Mapping[str, Any]) -> int:
    """The minutes of an alarm's period."""
    [seconds] = {part["MetricStat"]["Period"] for part in _statistics(alarm)}
    return int(seconds) // 60


def rings(alarm: Mapping[str, Any], recorded: Recorded, minute: int) -> bool:
    """Whether an alarm is in ALARM when it is evaluated at the end of that minute."""
    if (alarm["ComparisonOperator"], alarm["TreatMissingData"]) != ("GreaterThanThreshold", "notBreaching"):
        raise ValueError(f"not implemented: {alarm['ComparisonOperator']}, {alarm['TreatMissingData']}")
    wanted, length = alarm["EvaluationPeriods"], period(alarm)
    points = [_datapoint(alarm, recorded, minute - n * length) for n in range(wanted + EXTRA)]
    judged = [point for point in points if point is not None][:wanted]
    breaching = [point for point in judged if point > alarm["Threshold"]]
    return len(breaching) >= int(alarm.get("DatapointsToAlarm", wanted))


def composite_rings(rule: str, ringing: Mapping[str, bool]) -> bool:
    """Whether a composite alarm is in ALARM; `ringing` says it of the alarms that its rule names."""
    return any(ringing[name] for name in named_in(rule))


def named_in(rule: str) -> list[str]:
    """The alarms that a composite alarm's rule joins by OR."""
    terms = [re.fullmatch(r'ALARM\("(\w+)"\)', term.strip()) for term in rule.split(" OR ")]
    if None in terms:
        raise ValueError(f"not implemented: {rule}")
    return [term[1] for term in terms if term]


def calculate(expression: str, values: Mapping[str, float | None]) -> float | None:
    """The value of a piece of metric math; None where it is missing."""
    return _value(ast.parse(expression, mode="eval").body, values)


def ids_in(expression: str) -> set[str]:
    """The ids that a piece of metric math names."""
    names = {node.id for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)}
    return names - {"FILL"}


def _statistics(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of an alarm's metric math that are statistics; of an alarm without math, itself as such a part."""
    if "Metrics" in alarm:
        return [part for part in alarm["Metrics"] if "MetricStat" in part]
    chosen = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    return [{"Id": "only", "MetricStat": {"Metric": alarm, "Stat": chosen, "Period": alarm["Period"]}}]


def _datapoint(alarm: Mapping[str, Any], recorded: Recorded, end: int) -> float | None:
    parts = _statistics(alarm)
    values = {part["Id"]: _statistic(part["MetricStat"], recorded, end) for part in parts}
    if "Metrics" not in alarm:
        return values["only"]
    [expression] = [part["Expression"] for part in alarm["Metrics"] if "Expression" in part]
    return calculate(expression, values)


def _statistic(wanted: Mapping[str, Any], recorded: Recorded, end: int) -> float | None:
    of_metric = recorded.get(metric(wanted["Metric"]), {})
    minutes = range(end - int(wanted["Period"]) // 60 + 1, end + 1)
    values = sorted(value for minute in minutes for value in of_metric.get(minute, ()))
    if not values:
        return None
    if wanted["Stat"] == "Sum":
        return sum(values)
    if wanted["Stat"] == "Maximum":
        return values[-1]
    percentile = re.fullmatch(r"p(\d+)", wanted["Stat"])
    if percentile is None:
        raise ValueError(f"not implemented: {wanted['Stat']}")
    return values[math.ceil(int(percentile[1]) / 100 * len(values)) - 1]


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, ast.Constant(value=int() | float() as number)]):
            value = _value(filled, values)
            return number if value is None else value
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _value(left, values), _value(right, values)
            if first is None or second is None or (isinstance(op, ast.Div) and not second):
                return None
            return OPERATORS[type(op)](first, second)
    raise ValueError(f"not implemented: {ast.unparse(node)}")
