"""Every `bellhop` command of the runbook runs as it stands there, on a stack that has what it is about."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bellhop import attempts, deliveries, resend_jobs
from bellhop.attempts import STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import ENABLED, AuditEntry
from bellhop.resend_jobs import ResendStep
from infra.cli.resending import jobs
from infra.local.registering import Hook
from tests.docs.pages import RUNBOOK, blocks, spans
from tests.e2e.conftest import Tenant
from tests.e2e.disabled_app import disable_app, state
from tests.unit.cli.cli_runner import bellhop

pytestmark = pytest.mark.stack

# Not how to type them:
NAMES_ALONE = {"bellhop enable", "bellhop log", "bellhop apply", "bellhop rotate-secret"}
NAMES_ALONE |= {"bellhop delete organization"}
LOCAL = ["--yes", "--allow-http", "--allow-private-addresses", "--any-port"]
ALSO = {  # what a person types on a terminal, or what only a local stack needs
    "apply": LOCAL,
    "disable": ["--yes"],
    "mail resend": ["--yes"],
    "dead-letters delete": ["--yes"],
}
NEEDS_ON = ("replay", "resend", "ping")
PROBLEMS = (
    "doctor",
    "dead-letters redrive --all",
    "dead-letters redrive --queue",
)  # which say that by a status of 1

REGISTRY = """
organizations:
  {org}: {{name: Acme, owners: [ann@acme.example, bob@acme.example]}}
apps:
  {app}: {{name: Pager, organization: {org}, url: "{url}", events: [issue]}}
installations: []
"""


def commands() -> list[str]:
    """The commands of the runbook, each once, in its order."""
    texts = [*spans(RUNBOOK), *(line.strip() for block in blocks(RUNBOOK) for line in block.text.splitlines())]
    return [text for text in dict.fromkeys(texts) if text.startswith("bellhop ") and text not in NAMES_ALONE]


def test_every_command_of_the_runbook_can_be_typed_as_it_stands(tenant: Tenant, tmp_path: Path) -> None:
    hook, _, behaviour = disable_app(tenant)
    behaviour.status = 200
    named = commands()
    assert len(named) > 20
    for text in named:
        succeed(text, hook, tenant, tmp_path)


def succeed(text: str, hook: Hook, tenant: Tenant, directory: Path) -> None:
    title = text.removeprefix("bellhop ")
    if title.startswith(NEEDS_ON) and state(hook)[0] != ENABLED:
        assert bellhop("enable", hook.app_id, "--force").exit_code == 0
    if title.startswith("mail resend"):
        leave_a_mail_unknown(hook)
    words = shlex.split(title)
    values = placeholders(text, hook, tenant, directory)
    arguments = [values.get(word, word) for word in words]
    extra = next((more for start, more in ALSO.items() if title.startswith(start)), [])
    result = bellhop(*arguments, *extra)
    allowed = (0, 1) if title.startswith(PROBLEMS) else (0,)
    assert result.exit_code in allowed, f"{text}\n{arguments}\n{result.output}"


def placeholders(text: str, hook: Hook, tenant: Tenant, directory: Path) -> dict[str, str]:
    """What the words in capitals, and the files, stand for."""
    event, registry = directory / "event.json", directory / "registry.yaml"
    event.write_text(json.dumps(tenant.event("by-hand")))
    registry.write_text(REGISTRY.format(org=tenant.organization, app=hook.app_id, url=hook.url))
    return {
        "APP": hook.app_id,
        "DELIVERY": stopped_delivery(tenant, hook) if "DELIVERY" in text else "",
        "MESSAGE": dead_letter(tenant, hook) if "MESSAGE" in text else "",
        "EVENT": "last",
        "ORGANIZATION": tenant.organization,
        "ORGANISATION": tenant.organization,
        "ADDRESS": tenant.owners[0],
        "TEXT": "because",
        "JOB": resend_job(over="--watch" in text),
        "event.json": str(event),
        "registry.yaml": str(registry),
    }


def dead_letter(tenant: Tenant, hook: Hook) -> str:
    url, body = tenant.stack.resource("RetriesDeadLetters"), deliveries.encode(Retry("msg_gone", hook.app_id, 2))
    return str(tenant.stack.client("sqs").send_message(QueueUrl=url, MessageBody=body)["MessageId"])


def stopped_delivery(tenant: Tenant, hook: Hook) -> str:
    now, name = datetime.now(UTC), f"msg_{hook.app_id}"
    made = Delivery(
        name, "ev", "issue.created", hook.app_id, tenant.organization, f"installation-{hook.app_id}", b"{}"
    )
    attempts.open_record(made, NextState(STOPPED, attempt=Attempt(1, now, 3, "r", "http_410", 410)), now)
    return name


def resend_job(*, over: bool) -> str:
    """A resend with nothing on its list."""
    first = ResendStep(jobs.new_id(), 0, 0, {})
    resend_jobs.begin(first, 0, 1, 10.0, datetime.now(UTC), lost_after=8100)
    if over:
        resend_jobs.end(first, datetime.now(UTC).timestamp())
    return first.job_id


def leave_a_mail_unknown(hook: Hook) -> None:
    """As if SES had not said whether it took the newest mail."""
    entry = next(
        each for each in AuditEntry.query(hook.app_id, scan_index_forward=False) if each.mails.attribute_values
    )
    owner = next(iter(entry.mails.attribute_values))
    entry.update(actions=[AuditEntry.mails[owner].set("unknown")])
