"""Parameters that contradict one another. Pure: values in, sentences out.

CloudFormation's own rules cannot compare numbers, so that what is said here is not said in the template. Each
sentence ends with what to set instead. tests/unit/deployment compares the numbers with those of the code.
"""

from collections.abc import Mapping

# deliver: 10 s are kept for writing what became of the attempts, and one call that hangs may take 3 s before them.
DELIVER_SECONDS_BESIDE_DEADLINE = 15
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_TIMEOUTS = 6
THROUGHPUT_WINDOW_SECONDS = 1
RECORD_DAYS = 30
JITTER = 0.1  # at most so much longer than RetryDelaysSeconds says does each retry wait
SLACK_DAYS = 1  # for pauses, queues and the scheduler
LAST_PORT = 65535


def contradictions(values: Mapping[str, str]) -> list[str]:
    """A sentence for each contradiction among values that are well-formed, one by one."""
    return [*_timeouts(values), *_retries(values), *_ports(values), *_mail(values), *_runtime(values)]


def _timeouts(values: Mapping[str, str]) -> list[str]:
    found = []
    deadline, timeout = int(values["DeliveryDeadlineSeconds"]), int(values["DeliverTimeoutSeconds"])
    if timeout < (needed := deadline + DELIVER_SECONDS_BESIDE_DEADLINE):
        found.append(
            f"With DeliveryDeadlineSeconds={deadline}, deliver would have no time to attempt anything: set "
            f"DeliverTimeoutSeconds to {needed} or more, and DeliverVisibilitySeconds to six times that."
        )
    for function in ("Notify", "Deliver", "Health"):
        window = THROUGHPUT_WINDOW_SECONDS if values["Profile"] == "throughput" and function != "Health" else 0
        timeout = int(values[f"{function}TimeoutSeconds"])
        needed = VISIBILITY_TIMEOUTS * timeout + window
        if int(values[f"{function}VisibilitySeconds"]) < needed:
            found.append(
                f"With {function}TimeoutSeconds={timeout}, messages would come back while they are being handled: "
                f"set {function}VisibilitySeconds to {needed} or more."
            )
    return found


def _retries(values: Mapping[str, str]) -> list[str]:
    days = sum(map(int, values["RetryDelaysSeconds"].split(","))) * (1 + JITTER) / 86_400
    if days <= RECORD_DAYS - SLACK_DAYS:
        return []
    sentence = (
        f"RetryDelaysSeconds add up to {days:.1f} days with their jitter, but a delivery's record expires after "
        f"{RECORD_DAYS}: let them add up to {(RECORD_DAYS - SLACK_DAYS) / (1 + JITTER):.0f} days at most."
    )
    return [sentence]


def _ports(values: Mapping[str, str]) -> list[str]:
    ports = values["AllowedPorts"]
    wrong = [port for port in ports.split(",") if ports != "any" and not 0 < int(port) <= LAST_PORT]
    return [f"AllowedPorts has {', '.join(wrong)}: a port is 1 to {LAST_PORT}."] if wrong else []


def _mail(values: Mapping[str, str]) -> list[str]:
    sender, identity = values["MailFrom"].lower(), values["MailIdentity"].lower()
    domain = sender.rpartition("@")[2]
    if identity in {sender, domain} or domain.endswith(f".{identity}"):
        return []
    sentence = (
        f"SES would refuse all mail: MailIdentity={values['MailIdentity']} does not cover MailFrom="
        f"{values['MailFrom']}. Set MailIdentity to that address or to {domain}."
    )
    return [sentence]


def _runtime(values: Mapping[str, str]) -> list[str]:
    # Also a rule of the template. Locally it runs wherever the tests do.
    if values["Runtime"] != "python3.11" or values["AwsEndpointUrl"]:
        return []
    return [
        "python3.11 cannot be built for arm64, and is for local stacks only: set Runtime to python3.12 or later."
    ]
