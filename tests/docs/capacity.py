"""The numbers of docs/capacity.md, computed from the template, the code and the bench.

`python -m tests.docs.capacity` writes them into the page.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bellhop.queues import MAX_DELAY
from bellhop.registry import KINDS
from health.sweep.apps import PAGE as PAGE_OF_APPS
from infra.deploy.templates import parsed
from tests.bench import prices
from tests.docs.pages import DOCS, ROOT
from tests.support import cloudwatch, emitted, monitoring

PAGE = DOCS / "capacity.md"
RATES = (100, 1_000, 10_000)  # deliveries a second
KEPT_DAYS = (0, 3, 7, 30)  # KeepDeliveredDays
REFUSED_SHARE = 0.02  # of the deliveries that the bench counts: tests/bench/units.py
POLLERS, POLLS_A_MINUTE = 5, 3  # of Lambda for each queue, with 20 s of long polling
MONTH_MINUTES = 30 * 24 * 60
WEBHOOK_BYTES = 2_100  # a body of 1,500 as in the bench, and its headers
REGISTRY_GB = 0.02  # 1,000 apps, 10,000 installations, their audit entries and secrets
GB = 1e9

# How many keys share what one app writes. tests/docs/test_capacity.py compares the numbers with the code.
KEYS_OF_BY_APP = 16
KEYS_OF_REPLAYABLE = 16
KEYS_OF_DUE = 64  # of all apps together, by delivery

# The sweep of apps, once an hour: what it reads of each, and how long that takes at 5 ms a read.
SWEPT_APPS = 1_000
SWEEPS_A_MONTH = 30 * 24
# Of an app that was off or paused in the last month, the oldest of what is parked is read under each key.
READS_OF_AN_APP = 3  # its row, its circuit, its newest audit entries
OFF_OR_PAUSED_SHARE = 0.1  # of all apps, in a month
READS_OF_ITS_LIST = OFF_OR_PAUSED_SHARE * KEYS_OF_REPLAYABLE
UNITS_OF_AN_APP = 0.5 * (READS_OF_AN_APP + 1 + READS_OF_ITS_LIST)  # audit entries may take two
SECONDS_OF_AN_APP = 0.005 * (READS_OF_AN_APP + READS_OF_ITS_LIST)
REQUESTS_OF_A_MESSAGE = 3  # sent, received, deleted

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of AWS: its default, and the page that says so."""

    value: int
    what: str
    url: str


_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg"
_SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide"
_DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide"
_WARM = f"{_DYNAMODB}/warm-throughput-scenarios.html"
_SCHEDULER = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html"
_SES = "https://docs.aws.amazon.com/ses/latest/dg/quotas.html"

PROCESSES = Quota(
    1_000, "Lambda processes of an account; a new one has fewer", f"{_LAMBDA}/gettingstarted-limits.html"
)
LANE = Quota(1_000, "Lambda processes for one queue", f"{_LAMBDA}/services-sqs-scaling.html")
GROWTH = Quota(300, "more Lambda processes for one queue in a minute", f"{_LAMBDA}/services-sqs-scaling.html")
IN_FLIGHT = Quota(120_000, "messages in flight in one queue", f"{_SQS}/quotas-queues.html")
KEY_WRITES = Quota(1_000, "write units a second on one key of a table or an index", _WARM)
KEY_READS = Quota(3_000, "read units a second on one key", _WARM)
NEW_TABLE = Quota(4_000, "write units a second on a new table; it grows with the traffic", _WARM)
TABLE = Quota(40_000, "write units a second on one table", f"{_DYNAMODB}/ServiceQuotas.html")
SCHEDULES = Quota(10_000_000, "schedules at a time", _SCHEDULER)
SENDING = Quota(1_000, "schedules that send in a second; fewer in small regions", _SCHEDULER)
CREATING = Quota(5_000, "new schedules a second; 250 in small regions", _SCHEDULER)
PUBLISHING = Quota(
    10_000,
    "calls of PutEvents a second in us-east-1; fewer elsewhere",
    "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html",
)
SANDBOX = Quota(200, "mails in 24 hours while SES is in its sandbox, at most one a second", _SES)
QUOTAS = (
    *(PROCESSES, LANE, GROWTH, IN_FLIGHT, KEY_WRITES, KEY_READS, NEW_TABLE, TABLE),
    *(SCHEDULES, SENDING, CREATING, PUBLISHING, SANDBOX),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What there is of something, what a delivery takes of it, and how there can be more."""

    name: str
    there_is: float
    taken: float
    more_by: str

    @property
    def enough(self) -> float:
        """Deliveries a second for which it suffices."""
        return self.there_is / self.taken


def template() -> dict[str, Any]:
    """The template."""
    return parsed(ROOT / "template.yaml")


def default(name: str) -> Any:
    """A parameter's default."""
    return template()["Parameters"][name]["Default"]


@cache
def measured(profile: str) -> Mapping[str, Any]:
    """What the bench counted for each delivery, with full batches."""
    results = json.loads((ROOT / "tests/bench/results.json").read_text())["units"]
    return dict(results[profile])


def process_seconds(function: str, profile: str) -> float:
    """How long a delivery occupies a process of the function."""
    gigabytes = template()["Resources"][function]["Properties"]["MemorySize"] / 1024
    return float(measured(profile)["for_each_delivery"]["gb_seconds"][function] / gigabytes)


def units(name: str, profile: str = "default") -> float:
    """The write units of one kind of call, for each delivery."""
    return float(measured(profile)["for_each_delivery"]["write_units"][name])


def delays() -> list[int]:
    """Seconds before each retry."""
    return list(map(int, default("RetryDelaysSeconds").split(",")))


def scheduled() -> list[int]:
    """Those that a queue cannot delay for so long."""
    return [delay for delay in delays() if delay > MAX_DELAY]


def well(profile: str) -> list[Limit]:
    """What fills up while all endpoints respond within 150 ms; 2 % of the deliveries are retried once."""
    notify, deliver = (process_seconds(name, profile) for name in ("NotifyFunction", "DeliverFunction"))
    packs = sum(units(f"Delivered {what}", profile) for what in ("put", "list", "bodies"))
    return [
        Limit(
            "deliver's processes",
            default("DeliverMaximumConcurrency"),
            deliver,
            f"`DeliverMaximumConcurrency`, up to {LANE.value:,}",
        ),
        Limit("notify's processes", default("NotifyMaximumConcurrency"), notify, "`NotifyMaximumConcurrency`"),
        Limit("Lambda processes of the account", PROCESSES.value, deliver + notify, "the quota"),
        Limit("write units of the table Delivered", TABLE.value, packs, "the quota"),
        Limit("messages of Deliveries in flight", IN_FLIGHT.value, deliver * _batch(profile), "-"),
    ]


def _batch(profile: str) -> int:
    return int(template()["Mappings"]["Profiles"][profile]["BatchSize"])


def slow() -> list[Limit]:
    """What fills up while all endpoints respond well, but after 5 s: they are attempted in the slow lane."""
    seconds = measured("default")["slow_batch_ms"] / 1000
    return [
        Limit(
            "the lane of retries and slow apps",
            default("RetryMaximumConcurrency"),
            seconds / _batch("default"),
            f"`RetryMaximumConcurrency`, up to {LANE.value:,}",
        )
    ]


def refused() -> list[Limit]:
    """What fills up while every delivery is refused with a 4xx, which pauses nothing, until it is exhausted."""
    retries, long = len(delays()), scheduled()
    attempt = process_seconds("DeliverFunction", "default")
    # In the index due a record is put, moved by each further attempt, which is two units, and taken out.
    due = 1 + 2 * (retries - 1) + 1
    # The bench counts the record's put, and the two updates of a retry that delivers it: they change by_app and
    # take it out of due. Those of one that fails move it there, which is as much. At last it enters replayable.
    # The record of a busy app is not in by_app, where it would be written twice. Its entry is, which is an item.
    writes = (units("Attempts put") + retries * units("Attempts update")) / REFUSED_SHARE + 1
    fewer = "fewer or shorter `RetryDelaysSeconds`, the quota"
    return [
        Limit("schedules at a time", SCHEDULES.value, sum(long), fewer),
        Limit(
            "the lane of retries and slow apps",
            default("RetryMaximumConcurrency"),
            retries * attempt,
            f"`RetryMaximumConcurrency`, up to {LANE.value:,}",
        ),
        Limit("schedules that send in a second", SENDING.value, len(long), fewer),
        Limit("write units of the app's further keys in by_app", further(KEYS_OF_BY_APP), 1, "-"),
        Limit("write units of its further keys in replayable", further(KEYS_OF_REPLAYABLE), 1, "-"),
        Limit("new schedules a second", CREATING.value, len(long), fewer),
        Limit("write units of the keys of due, of all apps", KEY_WRITES.value * KEYS_OF_DUE, due, "-"),
        Limit("write units of the table Attempts", TABLE.value, writes, "the quota"),
        Limit(
            "write units of the app's key in Outcomes",
            KEY_WRITES.value,
            (1 + retries) / _batch("default"),
            "`Profile=throughput`",
        ),
        Limit("calls of PutEvents", PUBLISHING.value, 1, "the quota"),
    ]


def parked() -> list[Limit]:
    """What fills up while every delivery is parked, because the app is paused or off."""
    # It is in the index replayable instead of due. One more for the entry of a record that is not in by_app.
    writes = units("Attempts put") / REFUSED_SHARE + 1
    return [
        Limit("write units of the app's further keys in by_app", further(KEYS_OF_BY_APP), 1, "-"),
        Limit("write units of its further keys in replayable", further(KEYS_OF_REPLAYABLE), 1, "-"),
        Limit(
            "deliver's processes",
            default("DeliverMaximumConcurrency"),
            process_seconds("DeliverFunction", "default"),
            "`DeliverMaximumConcurrency`",
        ),
        Limit("write units of the table Attempts", TABLE.value, writes, "the quota"),
    ]


def further(keys: int) -> int:
    """Write units of an app's keys but the first, which is kept far below its limit."""
    return KEY_WRITES.value * (keys - 1)


def limit_rows(limits: Iterable[Limit]) -> list[Row]:
    """A table of limits, what comes first above."""
    return [
        (
            limit.name,
            f"{limit.there_is:,.0f}",
            f"{limit.taken:,.0f}" if limit.taken >= 1_000 else f"{limit.taken:.3g}",
            rounded(limit.enough),
            limit.more_by,
        )
        for limit in sorted(limits, key=lambda limit: limit.enough)
    ]


def rounded(number: float) -> str:
    """With two digits that count, rounded down."""
    step = 10 ** max(0, len(str(int(number))) - 2)
    return f"{int(number) // step * step:,}"


def rate_rows() -> list[Row]:
    """For each rate, what is used up before it is reached."""
    cases = (well("default"), well("throughput"), slow(), refused(), parked())
    return [(f"{rate:,}", *(first_limits(case, rate) for case in cases)) for rate in RATES]


def first_limits(limits: Iterable[Limit], rate: int) -> str:
    """The limit that is reached first, and how many more are."""
    short = sorted((limit for limit in limits if limit.enough <= rate), key=lambda limit: limit.enough)
    more = f", and {len(short) - 1} more" if len(short) > 1 else ""
    return f"{short[0].name}{more}" if short else "none"


def quota_rows() -> list[Row]:
    """Every quota with its source."""
    return [(quota.what, f"{quota.value:,}", f"[AWS]({quota.url})") for quota in QUOTAS]


def fixed_a_month() -> dict[str, float]:
    """Dollars a month that do not depend on the traffic."""
    alarmed = sum(len(cloudwatch.metrics(alarm)) for alarm in monitoring.alarms().values())
    alarms = alarmed * prices.ALARM_METRIC + len(monitoring.composites()) * prices.COMPOSITE_ALARM
    dashboards = len(monitoring.resources("AWS::CloudWatch::Dashboard"))
    queues = [m for m in template()["Resources"].values() if m["Type"] == "AWS::Serverless::Function"]
    sources = [source for f in queues for source in f["Properties"]["Events"].values() if source["Type"] == "SQS"]
    polls = len(sources) * POLLERS * POLLS_A_MINUTE * MONTH_MINUTES
    return {
        "alarms": alarms,
        "the dashboard": dashboards * prices.DASHBOARD,
        "metrics": len(emitted.of_ours()) * prices.OWN_METRIC,
        "idle pollers of the queues": polls * prices.SQS_REQUEST,
        "the sweep": swept(SWEPT_APPS),
        "backups of the registry": REGISTRY_GB * prices.RECOVERY_GB_MONTH,
    }


def swept(number: int) -> float:
    """Dollars a month for the sweep of so many apps while it finds nothing."""
    messages = 1 + math.ceil(number / PAGE_OF_APPS) + len(KINDS)
    gigabytes = template()["Resources"]["HealthFunction"]["Properties"]["MemorySize"] / 1024
    once = (
        (0.5 * KEYS_OF_DUE + UNITS_OF_AN_APP * number) * prices.READ_UNIT
        + messages * (REQUESTS_OF_A_MESSAGE * prices.SQS_REQUEST + prices.LAMBDA_REQUEST)
        + SECONDS_OF_AN_APP * number * gigabytes * prices.LAMBDA_GB_SECOND
    )
    return float(SWEEPS_A_MONTH * once)


def by_delivery() -> dict[str, float]:
    """Dollars for a million deliveries that grow with them; storage for the 30 days that rows live."""
    each, days = measured("default")["for_each_delivery"], default("KeepDeliveredDays")
    return {
        "requests, processor, logs: what is measured, without bodies": without_bodies("default"),
        f"bodies of what was delivered at once, kept for {days} days": sum(bodies("default", days)),
        "tables: 30 days of the delivery log": stored(units("Delivered put") + units("Attempts put"), 30),
        "logs: 30 days": sum(each["log_bytes"].values()) * 1e6 / GB * prices.LOG_GB_MONTH,
        "sent to endpoints": WEBHOOK_BYTES * 1e6 / GB * prices.SENT_GB,
        "encryption by the services' own keys": 0.0,
    }


def stored(units_: float, days: float) -> float:
    """Dollars for a million deliveries, each with so many units of a KB, that live so long."""
    return units_ * 1024 * 1e6 / GB * prices.TABLE_GB_MONTH * days / 30


def bodies(profile: str, days: int) -> tuple[float, float]:
    """Dollars for a million deliveries whose bodies are kept so long: to write them, to store them.

    The processor's share of it is in what is measured.
    """
    taken = units("Delivered bodies", profile) if days else 0.0
    return taken * 1e6 * prices.WRITE_UNIT, stored(taken, days)


def without_bodies(profile: str) -> float:
    """Dollars for a million deliveries, of what the bench measures, without writing bodies."""
    writing, _ = bodies(profile, default("KeepDeliveredDays"))
    return float(sum(measured(profile)["dollars"].values())) - writing


def body_rows() -> list[Row]:
    """What it costs to keep bodies, by days and profile."""
    rows: list[Row] = []
    for days in KEPT_DAYS:
        both = [bodies(profile, days) for profile in ("default", "throughput")]
        whole = without_bodies("default") + sum(both[0])
        rows.append((str(days), *(f"{dollars:.3f}" for pair in both for dollars in pair), f"{whole:.2f}"))
    return rows


def price_rows() -> list[Row]:
    """Dollars for a million deliveries, at a million a month and at the rates."""
    millions = [1.0, *(rate * MONTH_MINUTES * 60 / 1e6 for rate in RATES)]
    costs = [(name, [dollars] * len(millions)) for name, dollars in by_delivery().items()]
    costs += [(name, [dollars / number for number in millions]) for name, dollars in fixed_a_month().items()]
    sums = ("all of it", [sum(column) for column in zip(*(row for _, row in costs), strict=True)])
    return [(name, *(f"{dollars:.3f}" for dollars in row)) for name, row in (*costs, sums)]


TABLES: Mapping[str, Callable[[], list[Row]]] = {
    "rates": rate_rows,
    "well": lambda: limit_rows(well("default")),
    "throughput": lambda: limit_rows(well("throughput")),
    "slow": lambda: limit_rows(slow()),
    "refused": lambda: limit_rows(refused()),
    "parked": lambda: limit_rows(parked()),
    "prices": price_rows,
    "bodies": body_rows,
    "quotas": quota_rows,
}
MARK = re.compile(r"(<!-- computed: (\w+) -->\n\|[^\n]*\n\|[^\n]*\n)((?:\|[^\n]*\n)*)")


def written(page: str) -> str:
    """The page with its tables as they are now."""
    return MARK.sub(lambda found: found[1] + _lines(TABLES[found[2]]()), page)


def _lines(rows: Iterable[Row]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
