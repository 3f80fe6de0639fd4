import pytest

from infra.cli import stack
from tests.support.fakes import app, organization
from tests.unit.cli.cli_runner import CloudFormation, refused

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_a_stack_that_is_not_there_or_not_ready_is_an_error_with_the_way_out(
    cloudformation: CloudFormation,
) -> None:
    assert "no stack 'other' at region eu-west-1: deploy it with `make deploy`" in refused(
        "apps", "--stack", "other"
    )
    del cloudformation.outputs["AuditTable"]
    assert "has no output AuditTable" in refused("apps")


def test_a_stack_from_before_there_were_these_queues_is_named(cloudformation: CloudFormation) -> None:
    organization().save()
    del cloudformation.outputs[stack.TRANSITIONS_QUEUE]
    assert "has no output TransitionsQueueUrl" in refused("enable", "pager")


@pytest.mark.parametrize("name", ["DashboardUrl", "UnsubscribeUrl"])
@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://tracker.example/{app}", "tracker.example"])
def test_a_link_in_mail_that_is_no_web_page_is_refused(
    cloudformation: CloudFormation, name: str, url: str
) -> None:
    organization().save()
    app().save()
    cloudformation.parameters[name] = url
    assert f"{name} of stack 'bellhop' is" in refused("mail", "show", "pager")
