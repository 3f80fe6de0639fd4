"""What has state: dead letters, what survives a deletion, recovery, and the quotas of schedules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bellhop.queues import MAX_DELAY
from health.mail.wording import counted
from infra.cli.doctor.findings import Finding, ok, problem, runbook, unseen, unset
from infra.cli.doctor.looking import QUEUE, TABLE, Check, Deployed, UnseenError

SCHEDULES = "AWS::Scheduler::ScheduleGroup"
RETAINED = {"Retain", "RetainExceptOnCreate"}
SCHEDULER_QUOTAS = {
    "CreateSchedule request rate": "new schedules a second",
    "Invocations throttle limit": "schedules that send in a second",
    "Number of schedules": "schedules in all",
}


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """How many messages a dead-letter queue has."""

    queue: str
    messages: int


def read_dead_letters(deployed: Deployed) -> list[DeadLetters]:
    """Count the messages of each dead-letter queue."""
    sqs, names = deployed.client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def count(url: str) -> int:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    queues = deployed.physical_ids(QUEUE)
    return [DeadLetters(name, count(url)) for name, url in queues.items() if name.endswith("DeadLetters")]


def judge_dead_letters(queues: Iterable[DeadLetters]) -> list[Finding]:
    """Whether something waits for a person."""
    full = [
        problem(
            f"{found.queue} has {counted(found.messages, 'message')}, which nothing handles",
            f"{runbook('Dead letters')}; to look: `bellhop dead-letters list --queue "
            f"{found.queue.removesuffix('DeadLetters')}`",
        )
        for found in queues
        if found.messages
    ]
    return full or [ok("no dead-letter queue has messages")]


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `recoverable` is None where the template does not ask for point-in-time recovery."""

    name: str
    physical_id: str
    protected: bool
    recoverable: bool | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What has state, and what of it would go with the stack."""

    tables: tuple[Table, ...]
    not_retained: tuple[str, ...]
    is_local: bool


def read_stored(deployed: Deployed) -> Stored:
    """Read the stack's template, and the tables."""
    declared = _template(deployed)
    stateful = {name: r for name, r in declared.items() if r["Type"] in {TABLE, QUEUE, SCHEDULES}}
    lost = [name for name, r in stateful.items() if not _is_retained(r)]
    client, physical = deployed.client("dynamodb"), deployed.physical_ids(TABLE)
    tables = [_table(client, name, physical[name], declared[name]) for name in physical]
    return Stored(tuple(tables), tuple(lost), deployed.is_local)


def _is_retained(resource: Mapping[str, Any]) -> bool:
    return {resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")} <= RETAINED


def _template(deployed: Deployed) -> Mapping[str, Any]:
    asked = {"StackName": deployed.stack.name, "TemplateStage": "Processed"}
    body = deployed.client("cloudformation").get_template(**asked)["TemplateBody"]
    if not isinstance(body, Mapping):  # boto3 reads JSON, which is what CloudFormation makes of any template
        raise UnseenError("CloudFormation shows the stack's template as text, not as JSON")
    return dict(body["Resources"])


def _table(client: Any, name: str, physical_id: str, declared: Mapping[str, Any]) -> Table:
    described = client.describe_table(TableName=physical_id)["Table"]
    recoverable = None
    if "PointInTimeRecoverySpecification" in declared["Properties"]:
        backups = client.describe_continuous_backups(TableName=physical_id)["ContinuousBackupsDescription"]
        recovery = backups.get("PointInTimeRecoveryDescription", {})
        recoverable = recovery.get("PointInTimeRecoveryStatus") == "ENABLED"
    return Table(name, physical_id, bool(described.get("DeletionProtectionEnabled")), recoverable)


def judge_stored(stored: Stored) -> list[Finding]:
    """Whether a mistake could destroy what cannot be made good."""
    findings = []
    if stored.not_retained:
        text = f"{', '.join(stored.not_retained)} would be deleted with the stack"
        findings.append(problem(text, "deploy the template as it is in the repository: make deploy"))
    unprotected = [table.name for table in stored.tables if not table.protected]
    if unprotected:
        text = f"one call of dynamodb:DeleteTable deletes {', '.join(unprotected)}"
        findings.append(unset(text, "DeletionProtection", "true"))
    findings += _judge_recovery(stored)
    if findings:
        return findings
    return [ok("tables, queues and schedules survive the stack, tables a deletion; the registry has backups")]


def _judge_recovery(stored: Stored) -> list[Finding]:
    lacking = [table for table in stored.tables if table.recoverable is False]
    if lacking and stored.is_local:
        return [unseen("the embedded AWS keeps no backups, so that their absence means nothing")]
    switch_on = "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
    return [
        problem(
            f"{table.name} has no point-in-time recovery, though the template asks for it",
            f"aws dynamodb update-continuous-backups {switch_on} --table-name {table.physical_id}",
        )
        for table in lacking
    ]


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The quotas of EventBridge Scheduler by what they count, and how many retries of a delivery are scheduled."""

    quotas: Mapping[str, float]
    scheduled_retries: int


def read_scheduling(deployed: Deployed) -> Scheduling:
    """Read the quotas.

    Raises:
        UnseenError: Service Quotas does not name them, or there is none, as on the embedded AWS.
    """
    if deployed.is_local:
        raise UnseenError("the embedded AWS has no Service Quotas")
    paginator = deployed.client("service-quotas").get_paginator("list_service_quotas")
    pages = paginator.paginate(ServiceCode="scheduler")
    values = {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    found = {
        meaning: value
        for name, meaning in SCHEDULER_QUOTAS.items()
        for quota, value in values.items()
        if quota.startswith(name)
    }
    if len(found) < len(SCHEDULER_QUOTAS):
        raise UnseenError(f"Service Quotas does not list all of these: {', '.join(SCHEDULER_QUOTAS)}")
    return Scheduling(found, sum(delay > MAX_DELAY for delay in deployed.stack.retry_delays))


def judge_scheduling(found: Scheduling) -> list[Finding]:
    """What they suffice for."""
    quotas = ", ".join(f"{value:,.0f} {what}" for what, value in found.quotas.items())
    enough = min(found.quotas[SCHEDULER_QUOTAS[name]] for name in list(SCHEDULER_QUOTAS)[:2])
    sustained = enough / found.scheduled_retries if found.scheduled_retries else enough
    return [ok(f"{quotas}: enough while {sustained:,.0f} deliveries a second fail for good")]


CHECKS = (
    Check("dead letters", read_dead_letters, judge_dead_letters),
    Check("storage", read_stored, judge_stored),
    Check("schedules", read_scheduling, judge_scheduling),
)
