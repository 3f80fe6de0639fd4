"""The health function alone: what it does with a batch of either source, and what its role allows."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from bellhop import attempts, circuits, deliveries, outcomes
from bellhop.attempts import PARKED, RETRYING, NextState
from bellhop.deliveries import Retry, Trial
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.registry import DISABLED, ENABLED, AuditEntry
from bellhop.replays import Replay
from health.messages import AppSweep, FollowUp, RetrySweep, decode, encode
from infra.local.receiver import ok
from infra.local.registering import Hook
from tests.e2e.disabled_app import mails_by_owner, state
from tests.integration.invoke_function import batch, delivery, invoke, role_without, sent_to, sequence, stream
from tests.support.tenant import Tenant

pytestmark = pytest.mark.stack

OFF, ON = (DISABLED, 2), (ENABLED, 1)
WORKERS = 2


def judge(tenant: Tenant, *rows: OutcomeDay) -> list[str]:
    return invoke(tenant.stack, "HealthFunction", stream(*rows))


def follow_up(tenant: Tenant, *bodies: str) -> list[str]:
    return invoke(tenant.stack, "HealthFunction", batch(*bodies))


def gone(tenant: Tenant, hook: Hook) -> OutcomeDay:
    """The counters of an app whose endpoint is gone, as deliver writes them."""
    return outcomes.add(
        OutcomeDelta(hook.app_id, tenant.organization, 1, datetime.now(UTC).date(), fatal=1), lambda _: None
    )


def announced(tenant: Tenant, hook: Hook) -> list[str]:
    return [message["Body"] for message in sent_to("Transitions", tenant, hook)]


def entries(hook: Hook) -> list[str]:
    return [entry.transition_id for entry in AuditEntry.query(hook.app_id, consistent_read=True)]


def switched_off(tenant: Tenant) -> tuple[Hook, str]:
    """An app that health has just switched off, and the message that announces it."""
    hook, _ = tenant.app(ok)
    assert judge(tenant, gone(tenant, hook)) == []
    [message] = announced(tenant, hook)
    return hook, message


def states(hooks: Iterable[Hook]) -> list[tuple[str, int]]:
    return [state(hook) for hook in hooks]


def test_the_stream_comes_back_from_the_first_app_that_could_not_be_judged(tenant: Tenant) -> None:
    hooks = [tenant.app(ok)[0] for _ in range(3)]
    rows = [gone(tenant, hook) for hook in hooks]
    today = rows[1].day
    rows[1].update(actions=[OutcomeDay.day.set("a day that is none")])
    assert judge(tenant, *rows) == [sequence(1)]
    assert states(hooks) == [OFF, ON, OFF]
    rows[1].update(actions=[OutcomeDay.day.set(today)])
    assert judge(tenant, *rows[1:]) == []
    assert states(hooks) == [OFF, OFF, OFF]


def test_a_stream_message_that_switches_an_app_off_does_so_once_however_often_it_arrives(tenant: Tenant) -> None:
    hook, _ = tenant.app(ok)
    row = gone(tenant, hook)
    with ThreadPoolExecutor(WORKERS) as workers:
        assert list(workers.map(lambda _: judge(tenant, row), range(10))) == [[]] * 10
    assert entries(hook) == ["00000001#disabled"]
    assert state(hook) == OFF
    messages = announced(tenant, hook)
    assert {decode(body) for body in messages} == {FollowUp(hook.app_id, "00000001#disabled")}
    assert len(messages) <= WORKERS  # a worker that does not see the announcement yet makes it too


def test_a_message_that_cannot_be_read_comes_back_alone(tenant: Tenant) -> None:
    hook, message = switched_off(tenant)
    assert follow_up(tenant, "no message of ours", message) == ["m0"]
    assert mails_by_owner(tenant, hook, "Action required") == dict.fromkeys(tenant.owners, 1)


def test_what_health_may_not_read_for_now_it_judges_later(tenant: Tenant) -> None:
    hook, _ = tenant.app(ok)
    row = gone(tenant, hook)
    with role_without(tenant.stack, "HealthRole", "dynamodb:Query"):
        assert judge(tenant, row) == [sequence(0)]
    assert (state(hook), entries(hook), announced(tenant, hook)) == (ON, [], [])
    assert judge(tenant, row) == []
    assert (state(hook), entries(hook), len(announced(tenant, hook))) == (OFF, ["00000001#disabled"], 1)


def test_a_mail_that_health_may_not_send_for_now_it_sends_later_and_once(tenant: Tenant) -> None:
    hook, message = switched_off(tenant)
    with role_without(tenant.stack, "HealthRole", "ses:SendEmail"):
        assert follow_up(tenant, message) == ["m0"]
    assert mails_by_owner(tenant, hook, "Action required") == {}
    for _ in range(2):
        assert follow_up(tenant, message) == []
    assert mails_by_owner(tenant, hook, "Action required") == dict.fromkeys(tenant.owners, 1)


# ---- The sweep


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=3)


def on_retries(tenant: Tenant, hook: Hook) -> list[object]:
    return [deliveries.decode(message["Body"]) for message in sent_to("Retries", tenant, hook)]


def test_a_retry_whose_message_was_lost_is_sent_again_once_by_the_rights_of_healths_role(tenant: Tenant) -> None:
    hook, _ = tenant.app(ok)
    lost = delivery(tenant, hook, "lost")
    assert attempts.open_record(lost, NextState(RETRYING, long_ago().timestamp()), long_ago())
    with role_without(tenant.stack, "HealthRole", "dynamodb:Query"):
        assert follow_up(tenant, encode(RetrySweep())) == ["m0"]
    for _ in range(2):
        assert follow_up(tenant, encode(RetrySweep())) == []
    retry = Retry(lost.delivery_id, hook.app_id, 1, organization_id=tenant.organization)
    assert on_retries(tenant, hook) == [retry]


def test_what_goes_on_by_messages_of_an_app_begins_anew_by_the_rights_of_healths_role(tenant: Tenant) -> None:
    (paused, _), (resumed, _) = tenant.app(ok), tenant.app(ok)
    then = long_ago().timestamp()
    for hook in (paused, resumed):
        circuits.open_circuit(hook.app_id, 1, then - 60, then)
    assert circuits.claim_trial(resumed.app_id, 1, 0, "worker", now=then, seconds=30)
    assert circuits.close_circuit(resumed.app_id, "worker", then)
    circuits.note_chain(resumed.app_id, then)
    assert attempts.open_record(delivery(tenant, resumed, "parked"), NextState(PARKED), long_ago())
    warned = "00000001#warned#acme#timeouts#1#2026-11-23"
    at = long_ago().isoformat(timespec="seconds")
    entry = AuditEntry(paused.app_id, warned, organization_id=tenant.organization, actor="health", at=at)
    entry.action, entry.evidence = "app.warned", {"rule": "timeouts", "days": []}
    entry.save()
    for _ in range(2):
        sweeps = [encode(AppSweep(after=hook.app_id[:-1])) for hook in (paused, resumed)]
        assert follow_up(tenant, *sweeps) == []
    assert on_retries(tenant, paused) == [Trial(paused.app_id, 1, 0)]
    assert set(map(decode, announced(tenant, paused))) == {FollowUp(paused.app_id, warned)}
    [release] = map(decode, announced(tenant, resumed))
    assert isinstance(release, Replay)
    assert (release.app_id, release.generation, release.states) == (resumed.app_id, 1, (PARKED,))
