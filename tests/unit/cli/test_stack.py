import pytest

from infra.cli import stack
from tests.support.fakes import organization
from tests.unit.cli.cli_runner import CloudFormation, refused

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_a_stack_that_is_not_there_or_not_ready_is_an_error_with_the_way_out(
    cloudformation: CloudFormation,
) -> None:
    assert "no stack 'other' at region eu-west-1: deploy it with `make deploy`" in refused(
        "app", "--stack", "other"
    )
    del cloudformation.outputs["AuditTable"]
    assert "has no output AuditTable" in refused("app")


def test_a_stack_from_before_there_were_these_queues_is_named(cloudformation: CloudFormation) -> None:
    organization().save()
    del cloudformation.outputs[stack.TRANSITIONS_QUEUE]
    assert "has no output TransitionsQueueUrl" in refused("enable", "pager")
