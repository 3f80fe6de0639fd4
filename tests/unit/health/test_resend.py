"""A resend job sends what is on its list, each delivery once, at its rate, whatever message comes twice."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from bellhop import attempts, deliveries, resend_jobs
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.registry import App, Installation
from bellhop.resend_jobs import ResendJob, ResendStep
from bellhop.resends import BUSY, NOT_KEPT, OFF, UNREADABLE, UNREGISTERED, Chosen
from health.pages import PAGE
from health.resend import EXPIRED, STOPPED, ResendError, step
from tests.support.damage import damage
from tests.support.fakes import NOW, app, delivery, installation
from tests.support.health import ChainQueues

JOB = "5eed"
FIRST = ResendStep(JOB, 0, 0, {})


class DiedError(BaseException):
    """As if the worker had been killed."""


class Queues(ChainQueues):
    def run(self, message: ResendStep = FIRST) -> None:
        self.follow(message)

    def sent(self) -> list[str]:
        """The deliveries that deliver was asked to attempt since the last call, and which it then delivered."""
        asked = [deliveries.decode(message.body) for message in self.retries]
        self.retries.clear()
        for retry in asked:
            assert isinstance(retry, Retry)
            assert not retry.replay
            record = attempts.claim(retry.delivery_id, retry.next_attempt, "w", self.clock(), 30)
            if record:
                record.attempts_made = int(record.attempts_made) + 1
                attempts.finish(record, NextState(DELIVERED), self.clock())
                DeliveryRecord(retry.delivery_id).update(actions=[DeliveryRecord.attempts_made.add(1)])
        return [retry.delivery_id for retry in asked if isinstance(retry, Retry)]


@pytest.fixture
def queues(aws: None) -> Queues:
    app().save()
    installation().save()
    return Queues()


def keep(number: int, state: str = EXHAUSTED, **fields: Any) -> str:
    name = f"msg_{number:032d}"
    made = delivery(delivery_id=name, event_id=f"ev{number}", **fields)
    assert attempts.open_record(made, NextState(state), NOW - timedelta(hours=1))
    return name


def begin(names: Sequence[str], rate: float = 10.0, state: str = EXHAUSTED) -> None:
    """A job with these on its list, as they were when they were chosen."""
    pages = [names[start : start + PAGE] for start in range(0, len(names), PAGE)]
    for number, page in enumerate(pages):
        resend_jobs.write_page(JOB, number, [Chosen(name, state, 0) for name in page], NOW)
    resend_jobs.begin(FIRST, len(names), len(pages), rate, NOW, lost_after=8100)


def job() -> ResendJob:
    found = resend_jobs.load(JOB)
    assert found
    return found


def counted() -> tuple[int, int, dict[str, int]]:
    return int(job().page), int(job().sent), dict(job().left)


def test_what_is_on_the_list_is_sent_in_its_order_each_once(queues: Queues) -> None:
    names = [keep(n) for n in range(250)]
    begin(names)
    queues.run()
    assert queues.sent() == names
    assert counted() == (3, 250, {})
    assert job().ended == queues.clock.seconds()
    assert job().end is None
    assert queues.telemetry.logged("resend finished") == [{"job_id": JOB, "page": 3, "sent": 250}]


def test_a_page_is_spread_over_the_time_that_its_rate_takes_and_the_next_follows_then(queues: Queues) -> None:
    begin([keep(n) for n in range(101)])
    step(FIRST, queues.deps())
    assert [m.delay for m in queues.retries[::20]] == [0, 2, 4, 6, 8]
    [(following, wait)] = queues.chain
    assert (following, wait) == (ResendStep(JOB, 1, 100, {}), 10)
    record = attempts.load(f"msg_{41:032d}")
    assert record
    assert float(record.next_attempt_at) == NOW.timestamp() + 4  # or the sweep would take it for overdue


def test_the_time_that_a_page_takes_itself_is_no_wait_beside_its_rate(queues: Queues) -> None:
    begin([keep(n) for n in range(101)])
    deps, times = queues.deps(), iter([0.0] + [3.0] * 300)
    object.__setattr__(deps, "now", lambda: NOW + timedelta(seconds=next(times)))
    step(FIRST, deps)
    assert [wait for _, wait in queues.chain] == [7]


@pytest.mark.parametrize(("rate", "attempted", "expected"), [(10.0, 0, 60), (10.0, 60, 10), (50.0, 0, 2)])
def test_a_resend_goes_on_slowly_while_most_of_what_it_sent_before_is_not_attempted(
    queues: Queues, rate: float, attempted: int, expected: int
) -> None:
    begin([keep(n) for n in range(250)], rate)
    step(FIRST, queues.deps())
    del queues.retries[attempted:]  # these wait
    queues.sent()
    step(queues.chain.pop()[0], queues.deps())
    assert [wait for _, wait in queues.chain] == [expected]


def test_what_another_app_left_on_the_retry_queue_or_a_rate_deferred_slows_no_resend(queues: Queues) -> None:
    names = [keep(n) for n in range(250)]
    begin(names)
    queues.waiting = 10_000
    step(FIRST, queues.deps())
    for name in names[:100]:
        assert attempts.defer(Retry(name, "pager", 1), NOW.timestamp() + 600, NOW)
    step(queues.chain.pop()[0], queues.deps())
    assert [wait for _, wait in queues.chain] == [10]


def test_one_record_app_or_installation_that_could_not_be_read_stopped_a_whole_resend(queues: Queues) -> None:
    app("bad").save()
    installation(installation_id="in-bad").save()
    names = [keep(n) for n in range(250)]
    bad = [names[5], names[130], keep(300, app_id="bad"), keep(301, installation_id="in-bad"), keep(302)]
    begin([*names[:100], *bad[2:], *names[100:]])
    damage(DeliveryRecord, bad[0], "expires_at")
    damage(DeliveryRecord, bad[1], "state")
    damage(App, "bad", "headers", {"S": "{"})
    damage(Installation, ("acme", "in-bad"), "events")
    DeliveryRecord(bad[4]).update(actions=[DeliveryRecord.installation_id.remove()])
    queues.run()
    assert queues.sent() == [name for name in names if name not in bad]
    assert (job().ended, counted()) == (queues.clock.seconds(), (3, 248, {UNREADABLE: 5}))
    left = [logged["deliveries"] for logged in queues.telemetry.logged("deliveries not resent")]
    assert left == [{bad[0]: UNREADABLE}, dict.fromkeys([*bad[2:], bad[1]], UNREADABLE)]


def test_what_cannot_be_resent_is_left_as_it_is_counted_by_reason_and_named_in_the_log(queues: Queues) -> None:
    app("off", state="disabled").save()
    names = [
        keep(1),
        keep(2, app_id="off"),
        keep(3, app_id="gone"),
        keep(4, PARKED),
        keep(5, installation_id="in-nowhere"),
        "msg_unknown",
    ]
    begin(names)
    queues.run()
    assert queues.sent() == names[:1]
    reasons = dict(zip(names[1:], [OFF, UNREGISTERED, BUSY, "missing_installation", NOT_KEPT], strict=True))
    assert counted() == (1, 1, dict.fromkeys(reasons.values(), 1))
    assert queues.telemetry.logged("deliveries not resent") == [{"job_id": JOB, "deliveries": reasons}]
    assert [getattr(attempts.load(name), "state", None) for name in names[1:4]] == [EXHAUSTED, EXHAUSTED, PARKED]


def test_an_app_that_is_switched_off_meanwhile_gets_nothing_from_the_next_page_on(queues: Queues) -> None:
    names = [keep(n) for n in range(150)]
    begin(names)
    step(FIRST, queues.deps())
    App("pager").update(actions=[App.state.set("disabled")])
    queues.run(queues.chain.pop()[0])
    assert queues.sent() == names[:100]
    assert counted() == (2, 100, {OFF: 50})


def test_a_hook_that_is_uninstalled_meanwhile_leaves_its_deliveries_delivered(queues: Queues) -> None:
    names = [keep(n, DELIVERED) for n in range(3)]
    begin(names, state=DELIVERED)
    Installation("acme", "in-pager").delete()
    queues.run()
    assert (queues.sent(), counted()) == ([], (1, 0, {"missing_installation": 3}))
    assert {getattr(attempts.load(name), "state", None) for name in names} == {DELIVERED}


# ---- Stopped, and gone on with


def test_one_that_is_stopped_ends_at_its_next_page_and_the_rest_is_as_it_was(queues: Queues) -> None:
    names = [keep(n) for n in range(250)]
    begin(names)
    step(FIRST, queues.deps())
    assert resend_jobs.stop(JOB, NOW.timestamp())
    queues.run(queues.chain.pop()[0])
    assert queues.sent() == names[:100]
    assert (counted(), job().end) == ((1, 100, {}), STOPPED)
    assert {getattr(attempts.load(name), "state", None) for name in names[100:]} == {EXHAUSTED}
    assert queues.telemetry.logged(f"resend ended: {STOPPED}; the rest is as it was")
    assert not resend_jobs.stop(JOB, NOW.timestamp())


def test_one_that_was_stopped_goes_on_where_it_ended(queues: Queues) -> None:
    names = [keep(n) for n in range(250)]
    begin(names)
    step(FIRST, queues.deps())
    resend_jobs.stop(JOB, NOW.timestamp())
    queues.run(queues.chain.pop()[0])
    following = resend_jobs.go_on(job(), 1000.0, NOW.timestamp(), lost_after=8100)
    assert following
    queues.run(following)
    assert queues.sent() == names
    assert (counted(), float(job().rate)) == ((3, 250, {}), 1000.0)
    assert job().end is None


def test_one_that_went_on_while_health_ended_it_could_never_be_stopped_again(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [keep(n) for n in range(250)]
    begin(names)
    step(FIRST, queues.deps())
    resend_jobs.stop(JOB, NOW.timestamp())
    read_page = resend_jobs.read_page

    def gone_on_with(job_id: str, number: int) -> list[Chosen] | None:
        monkeypatch.undo()
        queues.chain.append((resend_jobs.go_on(job(), 10.0, NOW.timestamp(), lost_after=8100), 0))
        return read_page(job_id, number)

    monkeypatch.setattr(resend_jobs, "read_page", gone_on_with)
    step(queues.chain.pop()[0], queues.deps())
    assert job().ended is None
    assert queues.telemetry.logged("resend's message dropped: a person went on with it meanwhile")
    step(queues.chain.pop()[0], queues.deps())
    assert counted() == (2, 200, {})
    assert resend_jobs.stop(JOB, NOW.timestamp())
    queues.run(queues.chain.pop()[0])
    assert (queues.sent(), job().end) == (names[:200], STOPPED)


def test_going_on_with_one_that_moved_on_meanwhile_changed_what_it_had_noted(queues: Queues) -> None:
    begin([keep(n) for n in range(50)])
    seen = job()
    step(FIRST, queues.deps())
    ended = job().ended
    assert resend_jobs.go_on(seen, 10.0, NOW.timestamp(), lost_after=8100) is None
    assert (job().ended, counted()) == (ended, (1, 50, {}))


def test_one_that_goes_on_twice_at_once_sends_nothing_twice(queues: Queues) -> None:
    names = [keep(n) for n in range(250)]
    begin(names)
    step(FIRST, queues.deps())
    again = resend_jobs.go_on(job(), 10.0, NOW.timestamp(), lost_after=8100)
    queues.chain.append((again, 0))
    first = queues.sent()
    queues.run(queues.chain.pop(0)[0])
    assert first + queues.sent() == names
    assert counted() == (3, 250, {})
    assert queues.telemetry.logged("resend's message dropped: a copy of it is ahead")


def test_one_whose_list_has_expired_ends_with_a_log_line(queues: Queues) -> None:
    step(FIRST, queues.deps())
    begin([keep(1)])
    resend_jobs.ResendPage(f"resend#{JOB}#0").delete()
    step(FIRST, queues.deps())
    assert job().end == EXPIRED
    assert len([text for _, text, _ in queues.telemetry.lines if EXPIRED in text]) == 2


# ---- Messages that come twice, and workers that die


@pytest.mark.parametrize("dies", ["in the page", "at the retry queue", "at the next message", "at the note"])
def test_a_worker_that_dies_anywhere_in_a_page_leaves_nothing_out_and_sends_nothing_twice(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    names = [keep(n) for n in range(150)]
    begin(names)

    def die(*_: Any, **__: Any) -> Any:
        raise DiedError

    deps = queues.deps()
    with monkeypatch.context() as patch:
        if dies == "in the page":
            real, left = attempts.moment, iter(range(50))
            patch.setattr(attempts, "moment", lambda *at: die() if next(left, None) is None else real(*at))
        elif dies == "at the note":
            patch.setattr(resend_jobs, "note", die)
        else:
            object.__setattr__(deps, "retry" if dies == "at the retry queue" else "send_later", die)
        with pytest.raises(DiedError):
            step(FIRST, deps)
    sent = queues.sent()
    queues.clock.move(360)  # until its message comes back
    later = [message for message, _ in queues.chain]
    queues.chain.clear()
    queues.run()
    for message in later:
        queues.run(message)
    sent += queues.sent()
    assert sorted(sent) == names
    assert counted() == (2, 150, {})


def test_a_message_that_comes_twice_sends_the_retries_again_that_were_not_attempted_and_no_others(
    queues: Queues,
) -> None:
    names = [keep(n) for n in range(3)]
    begin(names)
    step(FIRST, queues.deps())
    del queues.retries[2:]  # lost
    queues.sent()
    ResendJob(f"resend#{JOB}").update(actions=[ResendJob.page.set(0), ResendJob.ended.remove()])
    step(FIRST, queues.deps())
    assert queues.sent() == names[2:]
    assert counted() == (1, 3, {})


def test_what_the_retry_queue_does_not_take_is_sent_when_the_message_comes_back(queues: Queues) -> None:
    names = [keep(n) for n in range(3)]
    begin(names)
    queues.refuses = {1}
    with pytest.raises(ResendError, match="SQS did not take 1 of 3 retries"):
        step(FIRST, queues.deps())
    assert queues.chain == []
    first, queues.refuses = queues.sent(), set()
    queues.run()
    assert sorted(first + queues.sent()) == names


def test_a_job_that_is_noted_late_by_the_page_before_does_not_go_back(queues: Queues) -> None:
    begin([keep(n) for n in range(250)])
    ahead, behind = ResendStep(JOB, 2, 200, {}), ResendStep(JOB, 1, 100, {})
    assert resend_jobs.note(ahead, NOW.timestamp() + 900)
    assert not resend_jobs.note(behind, NOW.timestamp() + 900)
    assert counted() == (2, 200, {})


def test_a_job_that_goes_on_is_not_taken_for_lost_until_its_next_message_is_long_overdue(queues: Queues) -> None:
    begin([keep(n) for n in range(101)])
    step(FIRST, queues.deps())
    assert float(job().chain_until) == NOW.timestamp() + 900 + 7200


def test_what_it_made_due_is_retried_like_any_other(queues: Queues) -> None:
    name = keep(1)
    begin([name])
    step(FIRST, queues.deps())
    record = attempts.load(name)
    assert record
    assert (record.state, record.resent_at, record.due_shard is None) == (RETRYING, NOW.timestamp(), False)
