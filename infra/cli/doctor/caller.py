"""Who asks, in what state the stack is, and whether this machine's clock agrees with AWS's."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from infra.cli.doctor.findings import Finding, ok, problem
from infra.cli.doctor.looking import Check, Deployed
from infra.deploy.account import DeployedStack, stuck

SKEW_SECONDS = 30  # AWS refuses signatures that are minutes off; times in the log are wrong long before
WELL = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}


@dataclass(frozen=True, slots=True)
class Clocks:
    """Who asked, and when, in Unix seconds; AWS's times have no fractions."""

    arn: str
    before: float
    after: float
    theirs: float


def read_clocks(deployed: Deployed) -> Clocks:
    """Ask AWS who the caller is; its response has the time."""
    before = time.time()
    identity = deployed.client("sts").get_caller_identity()
    date = identity["ResponseMetadata"]["HTTPHeaders"]["date"]
    return Clocks(identity["Arn"], before, time.time(), parsedate_to_datetime(date).timestamp())


def judge_clocks(clocks: Clocks) -> list[Finding]:
    """Compare the clocks."""
    ahead = clocks.before - (clocks.theirs + 1)
    behind = clocks.theirs - clocks.after
    skew = max(ahead, behind)
    if skew <= SKEW_SECONDS:
        return [ok(f"you are {clocks.arn}; this machine and AWS agree about the time")]
    direction = "ahead of" if ahead > behind else "behind"
    text = f"this machine's clock is {skew:.0f} s {direction} AWS's, which refuses what is signed too far off"
    return [problem(text, "sudo timedatectl set-ntp true")]


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a stack."""

    name: str
    region: str
    status: str


def read_status(deployed: Deployed) -> Status:
    """Read nothing: it is known since the stack was found."""
    return Status(deployed.stack.name, deployed.region, deployed.stack.status)


def judge_status(found: Status) -> list[Finding]:
    """Whether the last deployment succeeded."""
    if found.status in WELL:
        return [ok(f"the stack {found.name} in {found.region} is {found.status}")]
    if why := stuck(DeployedStack(found.status), found.name, found.region):
        return [problem(f"the stack {found.name} is {found.status}", why[0])]
    events = f"aws cloudformation describe-stack-events --stack-name {found.name} --max-items 50"
    return [problem(f"the last deployment of {found.name} failed: {found.status}", f"the reason: {events}")]


CHECKS = (
    Check("clock", read_clocks, judge_clocks),
    Check("stack", read_status, judge_status),
)
