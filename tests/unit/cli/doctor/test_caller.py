from email.utils import formatdate

import pytest

from infra.cli.doctor.caller import Clocks, Status, judge_clocks, judge_status, read_clocks
from infra.cli.doctor.findings import OK, PROBLEM
from tests.unit.cli.doctor.fake_deployment import deployed
from tests.unit.deployment.fake_account import FakeService

ADA = "arn:aws:iam::123456789012:user/ada"


@pytest.mark.parametrize(
    ("theirs", "state", "said"),
    [
        (1000, OK, f"you are {ADA}"),
        (970, OK, "agree about the time"),
        (900, PROBLEM, "99 s ahead of AWS's"),
        (1100, PROBLEM, "98 s behind AWS's"),
    ],
)
def test_a_clock_that_is_off_is_a_problem_and_the_whole_second_of_a_header_is_not(
    theirs: float, state: str, said: str
) -> None:
    [finding] = judge_clocks(Clocks(ADA, before=1000, after=1002, theirs=theirs))
    assert finding.state == state
    assert said in finding.text


def test_the_time_of_aws_is_that_of_its_response() -> None:
    headers = {"date": formatdate(1_795_435_202, usegmt=True)}
    identity = {"Arn": ADA, "ResponseMetadata": {"HTTPHeaders": headers}}
    clocks = read_clocks(deployed(sts=FakeService(get_caller_identity=identity)))
    assert (clocks.arn, clocks.theirs) == (ADA, 1_795_435_202)
    assert clocks.before <= clocks.after


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        ("CREATE_COMPLETE", OK, "bellhop in eu-west-1 is CREATE_COMPLETE"),
        ("UPDATE_IN_PROGRESS", PROBLEM, "wait until that has ended"),
        ("UPDATE_ROLLBACK_FAILED", PROBLEM, "continue-update-rollback --stack-name bellhop"),
        ("UPDATE_ROLLBACK_COMPLETE", PROBLEM, "describe-stack-events --stack-name bellhop"),
    ],
)
def test_a_stack_whose_last_deployment_did_not_succeed_is_a_problem(status: str, state: str, said: str) -> None:
    [finding] = judge_status(Status("bellhop", "eu-west-1", status))
    assert finding.state == state
    assert said in finding.text + finding.remedy
