"""What it costs when deliveries wait 72 hours for a paused endpoint: counted units, from parking to the release.

python -m tests.bench waiting
"""

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from bellhop import circuits, deliveries, tables
from bellhop.circuits import Circuit
from bellhop.deliveries import Trial
from bellhop.slow_start import START_SECONDS
from deliver.circuit.rate import trial_interval
from tests.bench import messages, prices
from tests.bench.bill import Bill
from tests.bench.child import Child
from tests.bench.cloud import register
from tests.bench.poller import REQUEST, Poller
from tests.bench.rig import Rig, rig
from tests.bench.run import STORED
from tests.bench.units import SCHEMAS

APP, NUMBER, HOURS = "app0", 600, 72
# Short, because the replay ends only when every process has read the registry again; the units are the same.
PARAMETERS = {
    "CacheSeconds": 1,
    "DeliverTimeoutSeconds": 16,
    "DeliveryDeadlineSeconds": 1,
    "ReplayPerSecond": 1000,
}
PATIENCE = 25.0


def main() -> None:
    """Measure, print and store."""
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="bellhop-", ignore_cleanup_errors=True) as directory,
        rig(Path(directory)) as shared_rig,
        ExitStack() as stack,
    ):
        results = measure(shared_rig, stack)
    console.print(results)
    STORED.mkdir(parents=True, exist_ok=True)
    (STORED / "waiting.json").write_text(json.dumps(results, indent=1) + "\n")


def measure(rig: Rig, stack: ExitStack) -> dict[str, Any]:
    """Dollars per million deliveries that wait, by kind of unit, and those of the app's trials."""

    def start(name: str, factory: str, *arguments: Any) -> Child:
        environ = rig.cloud.environment(name, PARAMETERS)
        return stack.enter_context(rig.child(f"lambdas:{factory}", environ, *arguments))

    deliver = start("DeliverFunction", "deliver", rig.authorities, SCHEMAS)
    health = start("HealthFunction", "other", "health", SCHEMAS)
    tables.bind(tables.connect(), {Circuit: rig.cloud.names["Circuits"]})
    parked, trials = Bill(), Bill()
    _endpoint(rig, "fail")
    now = time.time()
    circuits.open_circuit(APP, 1, now, now)
    _park(rig, deliver, parked)
    _trial(deliver, 0, trials)
    _endpoint(rig, "ok")
    time.sleep(float(PARAMETERS["CacheSeconds"]) + 1)
    circuits.postpone_trial(APP, float(circuits.load(APP).next_trial_at), now)
    _trial(deliver, 1, Bill())
    time.sleep(START_SECONDS + 1)  # of a million, the slow start defers the first few hundred
    for patience in (3.0, PATIENCE):  # what is released is attempted before the replay looks for what is left
        Poller(rig.cloud, "Transitions", "HealthFunction", 1, patience).drain(health, parked)
        Poller(rig.cloud, "Retries", "DeliverFunction", REQUEST, 2.0).drain(deliver, parked)
    number, ages = 0, 0.0
    while ages < HOURS * 3600:
        ages += trial_interval(0.0, ages)
        number += 1
    total, each = prices.dollars(parked.total(NUMBER)), prices.dollars(trials.total(1))
    return {
        "deliveries": NUMBER,
        "dollars_per_million": total | {"all": sum(total.values())},
        "trials": number,
        "dollars_of_an_apps_trials": sum(each.values()) / 1_000_000 * number,
        "units_per_delivery": parked.detail(NUMBER)["units"],
        "write_units_per_delivery": parked.detail(NUMBER)["write_units"],
    }


def _endpoint(rig: Rig, behaviour: str) -> None:
    register(rig.cloud, [f"https://localhost:{rig.tls[0]}/{behaviour}/0/{APP}"])


def _park(rig: Rig, deliver: Child, bill: Bill) -> None:
    url, sqs = rig.cloud.names["Deliveries"], rig.cloud.client("sqs")
    for start in range(0, NUMBER, REQUEST):
        made = [messages.new_delivery(APP, number) for number in range(start, start + REQUEST)]
        entries = [{"Id": str(n), "MessageBody": deliveries.encode(each)} for n, each in enumerate(made)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    Poller(rig.cloud, "Deliveries", "DeliverFunction", REQUEST).drain(deliver, bill)


def _trial(deliver: Child, number: int, bill: Bill) -> None:
    message = messages.queue_message(deliveries.encode(Trial(APP, 1, number)), queue="Retries")
    seen = deliver.call("run", messages.event([message]))
    if seen["result"]["batchItemFailures"]:
        raise RuntimeError("the trial was returned to the queue")
    bill.add("DeliverFunction", seen)
