"""The functions: their state, their bundle, what triggers them, and whether the account has room for them."""

import io
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from infra.cli.doctor.findings import Finding, ok, problem, runbook
from infra.cli.doctor.looking import Check, Deployed, UnseenError
from infra.deploy.target import Target, foreign_modules

DOWNLOAD_SECONDS = 30
CONCURRENCY_QUOTA = "L-B99A9384"  # concurrent executions: aws service-quotas list-service-quotas
CONCURRENCY_PARAMETERS = "NotifyMaximumConcurrency, DeliverMaximumConcurrency and RetryMaximumConcurrency"


@dataclass(frozen=True, slots=True)
class Function:
    """A function as Lambda has it."""

    name: str
    target: str  # its Python and its processor
    state: str
    update: str


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions, and the Python and processor of the stack's parameters."""

    target: str
    functions: tuple[Function, ...]


def read_functions(deployed: Deployed) -> Functions:
    """Read the configuration of each function."""
    return Functions(
        str(_target(deployed)), tuple(_function(name, found) for name, found in deployed.functions.items())
    )


def _target(deployed: Deployed) -> Target:
    given = deployed.stack.parameters
    return Target(given["Runtime"], given["Architecture"], Path())


def _function(name: str, found: Mapping[str, Any]) -> Function:
    configuration = found["Configuration"]
    target = f"{configuration['Runtime']} on {'/'.join(configuration.get('Architectures', ['x86_64']))}"
    return Function(
        name, target, configuration.get("State", "Active"), configuration.get("LastUpdateStatus", "Successful")
    )


def judge_functions(found: Functions) -> list[Finding]:
    """Whether each function can be invoked, and is what the parameters say."""
    findings = []
    for function in found.functions:
        if function.state == "Failed" or function.update == "Failed":
            text = f"{function.name} is {function.state}, its last update {function.update}"
            findings.append(problem(text, "make deploy"))
        if function.target != found.target:
            text = f"{function.name} runs {function.target}, but the stack's parameters say {found.target}"
            findings.append(problem(text, "make deploy"))
    names = ", ".join(function.name for function in found.functions)
    return findings or [ok(f"{names} run {found.target}")]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What of the deployed code cannot be loaded by the functions."""

    target: str
    foreign: tuple[str, ...]


def read_bundle(deployed: Deployed) -> Bundle:
    """Download the code, and look at its native modules.

    Raises:
        UnseenError: it cannot be downloaded.
    """
    target = _target(deployed)
    codes = {f["Configuration"]["CodeSha256"]: f["Code"]["Location"] for f in deployed.functions.values()}
    foreign = {module for url in codes.values() for module in _foreign_in(_download(url), target)}
    return Bundle(str(target), tuple(sorted(foreign)))


def _download(url: str) -> zipfile.ZipFile:
    try:
        with urlopen(url, timeout=DOWNLOAD_SECONDS) as response:  # noqa: S310 - AWS's own, signed for a few minutes
            return zipfile.ZipFile(io.BytesIO(response.read()))
    except (OSError, zipfile.BadZipFile) as error:
        raise UnseenError(f"the functions' code cannot be downloaded from S3: {error}") from None


def _foreign_in(archive: zipfile.ZipFile, target: Target) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        archive.extractall(directory, [name for name in archive.namelist() if ".so" in Path(name).name])
        return foreign_modules(Path(directory), target)


def judge_bundle(bundle: Bundle) -> list[Finding]:
    """Whether the functions can load their code."""
    if bundle.foreign:
        text = f"the functions run {bundle.target}, but of their code {'; '.join(bundle.foreign)}"
        return [problem(text, "make deploy, which builds for the stack's Runtime and Architecture")]
    return [ok(f"the deployed code can be loaded by {bundle.target}")]


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event source mapping. `state` is empty if it is gone."""

    name: str
    uuid: str
    state: str
    last_result: str


def read_triggers(deployed: Deployed) -> list[Trigger]:
    """Read the state of each event source mapping."""
    return [
        Trigger(
            name,
            deployed.resources[name].physical_id,
            (found or {}).get("State", ""),
            (found or {}).get("LastProcessingResult", ""),
        )
        for name, found in deployed.mappings.items()
    ]


def judge_triggers(triggers: Iterable[Trigger]) -> list[Finding]:
    """Whether queues and streams invoke their functions."""
    triggers = list(triggers)
    wrong = [finding for trigger in triggers for finding in _judge_trigger(trigger)]
    return wrong or [ok(f"{len(triggers)} queues and streams invoke their functions")]


def _judge_trigger(trigger: Trigger) -> list[Finding]:
    if not trigger.state:
        text = f"{trigger.name} is gone: its queue or stream invokes nothing"
        return [problem(text, "delete the stack and adopt what it leaves: docs/operators.md")]
    if trigger.state in {"Disabled", "Disabling"}:
        command = f"aws lambda update-event-source-mapping --uuid {trigger.uuid} --enabled"
        return [problem(f"{trigger.name} is {trigger.state}: its queue or stream invokes nothing", command)]
    if trigger.last_result.startswith("PROBLEM"):
        return [problem(f"{trigger.name}: {trigger.last_result}", runbook("Function errors"))]
    return []


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Processes at a time: what the account has unreserved, what each function may ask for, and has reserved."""

    unreserved: int
    wanted: Mapping[str, int]
    reserved: Mapping[str, int]


def read_concurrency(deployed: Deployed) -> Concurrency:
    """Read the account's limit, and what the functions may ask for."""
    limits = deployed.client("lambda").get_account_settings()["AccountLimit"]
    names = {f["Configuration"]["FunctionArn"]: f["Configuration"]["FunctionName"] for f in _found(deployed)}
    wanted = dict.fromkeys(names.values(), 0)
    for mapping in filter(None, deployed.mappings.values()):
        wanted[names[mapping["FunctionArn"]]] += _processes(mapping)
    reserved = {
        found["Configuration"]["FunctionName"]: int(found["Concurrency"]["ReservedConcurrentExecutions"])
        for found in _found(deployed)
        if "ReservedConcurrentExecutions" in (found.get("Concurrency") or {})
    }
    return Concurrency(limits["UnreservedConcurrentExecutions"], wanted, reserved)


def _found(deployed: Deployed) -> Iterable[Mapping[str, Any]]:
    return deployed.functions.values()


def _processes(mapping: Mapping[str, Any]) -> int:
    """The most that a queue may ask for; for a stream, what one shard may."""
    scaling = mapping.get("ScalingConfig") or {}
    return int(scaling.get("MaximumConcurrency") or mapping.get("ParallelizationFactor") or 1)


def judge_concurrency(found: Concurrency) -> list[Finding]:
    """Whether the functions may run as many processes as their triggers ask for."""
    findings = [
        problem(
            f"{name} has {found.reserved[name]} processes reserved, but its triggers may ask for {wanted}",
            f"remove the reservation: aws lambda delete-function-concurrency --function-name {name}",
        )
        for name, wanted in found.wanted.items()
        if name in found.reserved and found.reserved[name] < wanted
    ]
    needed = sum(wanted for name, wanted in found.wanted.items() if name not in found.reserved)
    if needed > found.unreserved:
        text = f"the functions may ask for {needed} processes at a time, the account leaves {found.unreserved}"
        command = (
            f"aws service-quotas request-service-quota-increase --service-code lambda --quota-code "
            f"{CONCURRENCY_QUOTA} --desired-value {max(1000, needed)}, or lower {CONCURRENCY_PARAMETERS}"
        )
        findings.append(problem(text, command))
    return findings or [
        ok(f"the functions may ask for {needed} processes at a time, of the account's {found.unreserved}")
    ]


CHECKS = (
    Check("functions", read_functions, judge_functions),
    Check("bundle", read_bundle, judge_bundle),
    Check("triggers", read_triggers, judge_triggers),
    Check("concurrency", read_concurrency, judge_concurrency),
)
