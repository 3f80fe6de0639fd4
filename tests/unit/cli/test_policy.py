import json
from functools import partial

from deliver.attempt import retry
from deliver.attempt.verdict import MAX_RETRY_AFTER
from deliver.circuit import rate, strikes
from deliver.dependencies import RetryPolicy
from infra.cli.commands.policy import schedule_of
from tests.unit.cli.cli_runner import CloudFormation, succeed

FULL = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


def at_share(share: float, low: float, high: float) -> float:
    return low + share * (high - low)


def test_every_attempt_has_its_delay_with_the_jitter_that_deliver_adds() -> None:
    first, *retries = schedule_of(FULL, 10, 72).steps
    assert (first.attempt, first.delay, first.total_most) == (1, 0, 0)
    assert [(step.attempt, step.delay) for step in retries] == list(enumerate(FULL, 2))
    for step in retries:
        for share in (0.0, 0.5, 1.0):
            drawn = retry.delay(step.attempt - 1, FULL, 0.0, partial(at_share, share))
            assert step.at_least <= (drawn or 0) <= step.at_most
    assert (retries[0].at_least, retries[0].at_most) == (5, 6)
    assert (retries[-1].total_least, retries[-1].total_most) == (272_165, 299_382)


def test_what_is_shown_of_waiting_is_what_deliver_does() -> None:
    schedule = schedule_of(FULL, 10, 72)
    assert schedule.longest_wait == RetryPolicy(FULL, 30).span
    assert schedule.retry_after_cap == MAX_RETRY_AFTER
    assert schedule.pause.strikes == strikes.STRIKES_TO_PAUSE
    assert schedule.pause.longest_trial_interval == rate.MAX_TRIAL_SECONDS


def test_the_policy_is_that_of_the_stacks_parameters(cloudformation: CloudFormation) -> None:
    cloudformation.parameters |= {"RetryDelaysSeconds": "7,7200", "DeliveryDeadlineSeconds": "3"}
    shown = succeed("policy")
    rows = [line.split() for line in shown.splitlines()]
    assert rows[2] == ["2", "7", "s", "7", "s", "to", "8", "s", "7", "s", "to", "8", "s"]
    assert rows[3] == ["3", "2", "h", "2", "h", "to", "2", "h", "12", "min", "2", "h", "to", "2", "h", "12", "min"]
    for part in (
        "ends after 3 s at the latest",
        "up to 1 d; never shorter",
        "has 10 strikes in a row, at most 1 h apart",
        "which lasted 1.5 s or longer counts as 4",
        "no response, a 5xx, a 429 or no access token is one",
        "the oldest that is due is a trial, or every other time one of an organisation drawn by lot",
        "every 30 s at first, then every 10%",
        "at most 15 min apart",
        "1 a second, doubling every 10 s, up to 64",
        "After 72 hours without a successful trial, an internal app is switched off",
        "waits for a pause or a rate limit for at most 2 h; then it is exhausted",
    ):
        assert part in shown


def test_as_json_the_policy_is_in_seconds(cloudformation: CloudFormation) -> None:
    read = json.loads(succeed("policy", "--json"))
    assert [step["delay"] for step in read["steps"]] == [0, 5, 60, 86_400]
    assert (read["deadline"], read["longest_wait"], read["retry_after_cap"]) == (10, 86_465, 86_400)
    assert read["pause"]["strikes"] == 10
