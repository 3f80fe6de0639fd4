"""List prices, and the formula that turns counted units into dollars per million deliveries."""

import math
from dataclasses import dataclass

DATE = "2026-11"
REGION = "us-east-1"

# https://aws.amazon.com/sqs/pricing/ and so on: /lambda, /dynamodb, /eventbridge, /cloudwatch
SQS_REQUEST = 0.40e-6
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 0.0000133334  # arm64
WRITE_UNIT = 0.625e-6  # DynamoDB on demand
READ_UNIT = 0.125e-6
SCHEDULE = 1.00e-6  # EventBridge Scheduler, an invocation
LOG_BYTE = 0.50e-9  # CloudWatch Logs, ingested

# CloudWatch, for a month. Of an account, three dashboards, ten alarm metrics and ten metrics of its own are free.
ALARM_METRIC = 0.10
COMPOSITE_ALARM = 0.50
DASHBOARD = 3.00
OWN_METRIC = 0.30  # in a month in which it is written every hour
SCANNED_GB = 0.005  # by a query of CloudWatch Logs Insights

# What does not depend on requests alone. https://aws.amazon.com/dynamodb/pricing/, /ec2 (transfer)
LOG_GB_MONTH = 0.03
TABLE_GB_MONTH = 0.25
RECOVERY_GB_MONTH = 0.20
SENT_GB = 0.09  # data transfer to the internet
KEY_MONTH, KEY_REQUEST = 1.00, 3e-6  # of KMS; https://aws.amazon.com/kms/pricing/

SQS_CHUNK = 65_536  # a request is billed for each begun 64 KiB
WRITE_BYTES, READ_BYTES = 1024, 4096
EVENT_OVERHEAD = 26  # bytes that CloudWatch Logs adds to each line
FULL_VCPU_MB = 1769  # memory at which a function has one whole processor

# What Lambda itself writes for each invocation; the ids are UUIDs, the numbers as wide as they usually are.
_ID = "8f14e45f-ceea-467f-a8d5-0a1b2c3d4e5f"
_REPORT = "Duration: 181.16 ms\tBilled Duration: 182 ms\tMemory Size: 512 MB\tMax Memory Used: 110 MB"
PLATFORM_LINES = (
    f"START RequestId: {_ID} Version: $LATEST\n",
    f"END RequestId: {_ID}\n",
    f"REPORT RequestId: {_ID}\t{_REPORT}\t\n",
)


@dataclass(frozen=True)
class Units:
    """What `deliveries` deliveries used."""

    deliveries: int
    sqs_requests: float = 0
    write_units: float = 0
    read_units: float = 0
    schedules: float = 0
    invocations: float = 0
    gb_seconds: float = 0
    log_bytes: float = 0


PRICES = {
    "sqs_requests": SQS_REQUEST,
    "write_units": WRITE_UNIT,
    "read_units": READ_UNIT,
    "schedules": SCHEDULE,
    "invocations": LAMBDA_REQUEST,
    "gb_seconds": LAMBDA_GB_SECOND,
    "log_bytes": LOG_BYTE,
}


def dollars(units: Units) -> dict[str, float]:
    """The price of a million such deliveries, by kind of unit."""
    million = 1_000_000 / units.deliveries
    return {name: getattr(units, name) * price * million for name, price in PRICES.items()}


def sqs_requests(payload: int) -> int:
    """The requests that one call with `payload` bytes of messages is billed as."""
    return max(1, math.ceil(payload / SQS_CHUNK))


def write_units(size: int) -> int:
    """The write units of an item of `size` bytes; a transaction takes twice as many."""
    return max(1, math.ceil(size / WRITE_BYTES))


def read_units(size: int, *, consistent: bool) -> float:
    """The read units of an item, or of a query that read `size` bytes."""
    return max(1, math.ceil(size / READ_BYTES)) * (1.0 if consistent else 0.5)


def billed_seconds(wall: float, cpu: float, memory_mb: int) -> float:
    """The billed time of an invocation that took `wall` seconds here, `cpu` of them on a whole processor.

    A function below `FULL_VCPU_MB` has a share of a processor, so that its computations take longer.
    """
    return wall + cpu * max(0.0, FULL_VCPU_MB / memory_mb - 1)


def gb_seconds(seconds: float, memory_mb: int) -> float:
    """Billed memory time, each invocation rounded up to a millisecond."""
    return math.ceil(seconds * 1000) / 1000 * memory_mb / 1024


def platform_bytes() -> int:
    """What CloudWatch Logs takes in for Lambda's own lines of one invocation."""
    return sum(len(line) + EVENT_OVERHEAD for line in PLATFORM_LINES)
