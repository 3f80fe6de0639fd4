from typing import Any

import pytest

from infra.cli.doctor import mail
from infra.cli.doctor.findings import OK, PROBLEM, UNSEEN
from tests.unit.cli.doctor.fake_deployment import deployed
from tests.unit.deployment.fake_account import FakeService, refusal

IDENTITY, LIMITS = mail.CHECKS


@pytest.mark.parametrize(
    ("response", "state", "said"),
    [
        ({"VerifiedForSendingStatus": True}, OK, "tracker.example is verified"),
        ({"VerifiedForSendingStatus": False}, PROBLEM, "aws sesv2 get-email-identity"),
        (refusal("NotFoundException"), PROBLEM, "aws sesv2 create-email-identity"),
        (
            refusal("AccessDeniedException", "not authorized to perform: ses:GetEmailIdentity on x"),
            UNSEEN,
            "ses:Get",
        ),
    ],
)
def test_an_identity_that_is_not_verified_is_a_problem(response: Any, state: str, said: str) -> None:
    [finding] = IDENTITY.findings(deployed(sesv2=FakeService(get_email_identity=response)))
    assert finding.state == state
    assert said in finding.text + finding.remedy


def account(per_day: float = 50_000, sent: float = 12, **changes: Any) -> FakeService:
    quota = {"Max24HourSend": per_day, "MaxSendRate": 14.0, "SentLast24Hours": sent}
    found = {"ProductionAccessEnabled": True, "SendingEnabled": True, "SendQuota": quota}
    return FakeService(get_account=found | {"EnforcementStatus": "HEALTHY"} | changes)


def test_the_limits_of_an_account_that_may_send_are_shown() -> None:
    for per_day, shown in ((50_000, "50,000"), (-1, "any number")):
        [finding] = LIMITS.findings(deployed(sesv2=account(per_day)))
        assert finding.state == OK
        assert (
            finding.text == f"SES sends {shown} mails in 24 hours and 14 a second; in the last 24 hours it sent 12"
        )


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (account(ProductionAccessEnabled=False), "put-account-details --production-access-enabled"),
        (account(SendingEnabled=False), "SES sends nothing for this account"),
        (account(EnforcementStatus="SHUTDOWN"), "SES sends nothing for this account"),
        (account(EnforcementStatus="PROBATION"), "under review: PROBATION"),
        (account(per_day=200, sent=160), "of the 200 mails of 24 hours, SES has sent 160"),
    ],
)
def test_what_keeps_mail_from_owners_is_a_problem(service: FakeService, said: str) -> None:
    [finding] = LIMITS.findings(deployed(sesv2=service))
    assert finding.state == PROBLEM
    assert said in finding.text + finding.remedy
