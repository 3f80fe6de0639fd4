"""health alone: what it makes of a batch of either source, and what its role lets it do."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from bellhop import outcomes
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.registry import DISABLED, ENABLED, AuditEntry
from health.messages import FollowUp, decode
from infra.local.receiver import ok
from infra.local.registering import Hook
from tests.e2e.switching import about, state
from tests.integration.invoke_function import batch, invoke, sent_to, sequence, stream, without
from tests.support.tenant import Town

pytestmark = pytest.mark.stack

OFF, ON = (DISABLED, 2), (ENABLED, 1)
WORKERS = 2


def judge(town: Town, *rows: OutcomeDay) -> list[str]:
    return invoke(town.stack, "HealthFunction", stream(*rows))


def follow_up(town: Town, *bodies: str) -> list[str]:
    return invoke(town.stack, "HealthFunction", batch(*bodies))


def gone(town: Town, hook: Hook) -> OutcomeDay:
    """The counters of an app whose endpoint is gone, as deliver counts it."""
    return outcomes.add(
        OutcomeDelta(hook.app_id, town.organization, 1, datetime.now(UTC).date(), fatal=1), lambda _: None
    )


def announced(town: Town, hook: Hook) -> list[str]:
    return [message["Body"] for message in sent_to("Transitions", town, hook)]


def entries(hook: Hook) -> list[str]:
    return [entry.transition_id for entry in AuditEntry.query(hook.app_id, consistent_read=True)]


def switched_off(town: Town) -> tuple[Hook, str]:
    """An app that health just switched off, and the message that has this followed up."""
    hook, _ = town.app(ok)
    assert judge(town, gone(town, hook)) == []
    [message] = announced(town, hook)
    return hook, message


def states(hooks: Iterable[Hook]) -> list[tuple[str, int]]:
    return [state(hook) for hook in hooks]


def test_the_stream_comes_back_from_the_first_app_that_could_not_be_judged(town: Town) -> None:
    hooks = [town.app(ok)[0] for _ in range(3)]
    rows = [gone(town, hook) for hook in hooks]
    today = rows[1].day
    rows[1].update(actions=[OutcomeDay.day.set("a day that is none")])
    assert judge(town, *rows) == [sequence(1)]
    assert states(hooks) == [OFF, ON, OFF]
    rows[1].update(actions=[OutcomeDay.day.set(today)])
    assert judge(town, *rows[1:]) == []
    assert states(hooks) == [OFF, OFF, OFF]


def test_a_record_that_switches_off_does_so_once_however_often_it_comes(town: Town) -> None:
    hook, _ = town.app(ok)
    row = gone(town, hook)
    with ThreadPoolExecutor(WORKERS) as workers:
        assert list(workers.map(lambda _: judge(town, row), range(10))) == [[]] * 10
    assert entries(hook) == ["00000001#disabled"]
    assert state(hook) == OFF
    messages = announced(town, hook)
    assert {decode(body) for body in messages} == {FollowUp(hook.app_id, "00000001#disabled")}
    assert len(messages) <= WORKERS  # one that finds it not announced yet announces it too


def test_a_message_that_cannot_be_read_comes_back_alone(town: Town) -> None:
    hook, message = switched_off(town)
    assert follow_up(town, "no message of ours", message) == ["m0"]
    assert about(town, hook, "Action required") == dict.fromkeys(town.owners, 1)


def test_what_health_may_not_read_for_now_it_judges_later(town: Town) -> None:
    hook, _ = town.app(ok)
    row = gone(town, hook)
    with without(town.stack, "HealthRole", "dynamodb:Query"):
        assert judge(town, row) == [sequence(0)]
    assert (state(hook), entries(hook), announced(town, hook)) == (ON, [], [])
    assert judge(town, row) == []
    assert (state(hook), entries(hook), len(announced(town, hook))) == (OFF, ["00000001#disabled"], 1)


def test_a_mail_that_health_may_not_send_for_now_it_sends_later_and_once(town: Town) -> None:
    hook, message = switched_off(town)
    with without(town.stack, "HealthRole", "ses:SendEmail"):
        assert follow_up(town, message) == ["m0"]
    assert about(town, hook, "Action required") == {}
    for _ in range(2):
        assert follow_up(town, message) == []
    assert about(town, hook, "Action required") == dict.fromkeys(town.owners, 1)
