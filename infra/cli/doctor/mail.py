"""Mail to owners: whether SES sends it."""

from dataclasses import dataclass

from botocore.exceptions import ClientError

from infra.cli.doctor.findings import Finding, ok, problem
from infra.cli.doctor.looking import Check, Deployed

SHARE_OF_QUOTA = 0.8  # of the mails in 24 hours, from which on it is a problem
UNLIMITED = -1
SUPPORT = "open a case with AWS Support; docs/operators.md says what mail Bellhop sends"
PRODUCTION_ACCESS = (
    "aws sesv2 put-account-details --production-access-enabled --mail-type TRANSACTIONAL --website-url "
    "https://YOUR-TRACKER; AWS responds within a day"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The sender's identity. `verified` is None if SES does not know it."""

    name: str
    verified: bool | None


def read_identity(deployed: Deployed) -> Identity:
    """Read the identity that MailIdentity names."""
    name = deployed.stack.parameters["MailIdentity"]
    try:
        found = deployed.client("sesv2").get_email_identity(EmailIdentity=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NotFoundException":
            return Identity(name, None)
        raise
    return Identity(name, bool(found["VerifiedForSendingStatus"]))


def judge_identity(identity: Identity) -> list[Finding]:
    """Whether SES lets the stack send from it."""
    if identity.verified is None:
        command = f"aws sesv2 create-email-identity --email-identity {identity.name}, and do what it asks for"
        return [problem(f"SES does not know {identity.name} here, so that it refuses all mail", command)]
    if not identity.verified:
        command = f"aws sesv2 get-email-identity --email-identity {identity.name} shows the records for DNS"
        return [problem(f"{identity.name} is not verified, so that SES refuses all mail", command)]
    return [ok(f"{identity.name} is verified")]


@dataclass(frozen=True, slots=True)
class Sending:
    """What SES lets the account send: mails in 24 hours (-1: any number), and a second."""

    production: bool
    enabled: bool
    enforcement: str
    per_day: float
    per_second: float
    sent: float


def read_sending(deployed: Deployed) -> Sending:
    """Read the account's sending limits."""
    found = deployed.client("sesv2").get_account()
    quota = found["SendQuota"]
    return Sending(
        found["ProductionAccessEnabled"],
        found["SendingEnabled"],
        found.get("EnforcementStatus", "HEALTHY"),
        quota["Max24HourSend"],
        quota["MaxSendRate"],
        quota["SentLast24Hours"],
    )


def judge_sending(sending: Sending) -> list[Finding]:
    """Whether mail to any owner goes out, and whether the limits suffice."""
    findings = []
    if not sending.production:
        text = "SES is in its sandbox: owners whose addresses are not verified get no mail"
        findings.append(problem(text, PRODUCTION_ACCESS))
    if not sending.enabled or sending.enforcement == "SHUTDOWN":
        text = f"SES sends nothing for this account (enforcement: {sending.enforcement})"
        findings.append(problem(text, SUPPORT))
    elif sending.enforcement != "HEALTHY":
        findings.append(problem(f"SES has this account under review: {sending.enforcement}", SUPPORT))
    if sending.per_day != UNLIMITED and sending.sent >= SHARE_OF_QUOTA * sending.per_day:
        text = f"of the {sending.per_day:,.0f} mails of 24 hours, SES has sent {sending.sent:,.0f}"
        findings.append(problem(text, "ask for more in the Service Quotas console, or open a case"))
    return findings or [ok(_limits(sending))]


def _limits(sending: Sending) -> str:
    per_day = "any number" if sending.per_day == UNLIMITED else f"{sending.per_day:,.0f}"
    return (
        f"SES sends {per_day} mails in 24 hours and {sending.per_second:g} a second; "
        f"in the last 24 hours it sent {sending.sent:,.0f}"
    )


CHECKS = (
    Check("mail identity", read_identity, judge_identity),
    Check("mail limits", read_sending, judge_sending),
)
