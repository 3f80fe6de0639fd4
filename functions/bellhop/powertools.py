"""Telemetry by Powertools for AWS Lambda."""

from collections import Counter, defaultdict
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit


class PowertoolsTelemetry:
    """Telemetry to CloudWatch: JSON lines, and metrics in the embedded metric format."""

    def __init__(self) -> None:
        # Neither the place in the code, which would be this file in every line, nor what CloudWatch says of each:
        # when it was written, and by which function.
        self._logger = Logger(location=None, timestamp=None)
        self._logger.remove_keys(["service"])
        self._metrics = Metrics()
        self._counted: Counter[str] = Counter()
        self._measured: defaultdict[str, list[float]] = defaultdict(list)

    def info(self, message: str, **fields: Any) -> None:
        """See Telemetry."""
        self._logger.info(message, **fields)

    def warning(self, message: str, **fields: Any) -> None:
        """See Telemetry."""
        self._logger.warning(message, **fields)

    def error(self, message: str, **fields: Any) -> None:
        """See Telemetry."""
        self._logger.error(message, exc_info=True, **fields)  # noqa: LOG014 - called inside handlers

    def count(self, name: str, number: int = 1) -> None:
        """See Telemetry."""
        self._counted[name] += number  # Powertools would keep each one, and flush by itself after a hundred

    def measure(self, name: str, seconds: float) -> None:
        """See Telemetry."""
        self._measured[name].append(round(seconds, 2))  # 10 ms are exact enough, and short in the log

    def begin(self, context: Any) -> None:
        """Give the invocation's log lines its request id."""
        self._logger.append_keys(aws_request_id=context.aws_request_id)

    def flush(self) -> None:
        """Write what this invocation counted and measured, if there is anything, in one line."""
        for name, durations in self._measured.items():
            # With each hundredth value Powertools writes a line: CloudWatch takes no more in one.
            for seconds in durations:
                self._metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=seconds)
        for name, number in self._counted.items():
            self._metrics.add_metric(name=name, unit=MetricUnit.Count, value=number)
        if self._metrics.metric_set:
            self._metrics.flush_metrics()
        self._counted.clear()
        self._measured.clear()
