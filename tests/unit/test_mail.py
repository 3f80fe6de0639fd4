"""The mail an owner acts on: case 103, and texts that are hostile."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.registry import AuditEntry
from health.mail import Mail, compose
from tests.fakes import app, organization

DASHBOARD = "https://tracker.example/settings/{organization}/developer-settings/{app}/"


def entry(rule: str = "fatal", answer: str = "", **counts: int) -> AuditEntry:
    day = {"day": "2026-11-23", "success": 0, "error": 0, "timeout": 0, "fatal": 0} | counts
    last = {
        "at": "2026-11-23T11:59:00+00:00",
        "delivery_id": "msg_1",
        "event_id": "ev9",
        "event": "issue.created",
        "error": "http_404",
        "answer": answer,
    }
    evidence = {"rule": rule, "url": "https://hooks.example/in?a=1&b=2", "days": [day], "last_failure": last}
    return AuditEntry("pager", "1", organization_id="acme", at="2026-11-23T12:00:00+00:00", evidence=evidence)


def mail(entry: AuditEntry, name: str = "Pager", **changes: Any) -> Mail:
    return compose("ada@acme.example", entry, app(name=name), organization(**changes), DASHBOARD)


def test_the_subject_names_the_app_as_it_is_written() -> None:
    assert mail(entry(), name="iOS pAger").subject == "Action required: Fix your iOS pAger integration"


@pytest.mark.parametrize("part", ["text", "html"])
def test_both_parts_say_what_happened_when_where_why_and_what_to_do(part: str) -> None:
    said = getattr(mail(entry(fatal=1)), part).replace("&amp;", "&")
    for fact in (
        "switched off",
        "2026-11-23T12:00:00+00:00",
        "https://hooks.example/in?a=1&b=2",
        "http_404",
        "ev9",
        "Mon 23 Nov",
        "https://tracker.example/settings/acme/developer-settings/pager/?referrer=disabled-app",
        "kept for 30 days",
    ):
        assert fact in said


@pytest.mark.parametrize(
    ("rule", "counts", "reason"),
    [
        ("fatal", {"fatal": 1}, "gone for good"),
        ("timeouts", {"timeout": 1000}, "1000 requests got no answer in time on 2026-11-23"),
        ("pause", {"timeout": 3}, "not one probe got through"),
        ("errors", {"error": 3}, "every request of the last 1 days ended in an error"),
    ],
)
def test_each_rule_has_its_reason(rule: str, counts: dict[str, int], reason: str) -> None:
    assert reason in mail(entry(rule, **counts)).text


def test_markup_in_names_and_answers_is_shown_and_not_obeyed() -> None:
    evil = "<script>alert(1)</script>"
    composed = mail(entry(answer=evil), name=evil)
    assert "<script>" not in composed.html
    assert "&lt;script&gt;" in composed.html
    assert evil in composed.text


def test_a_mail_without_a_last_failure_is_still_whole() -> None:
    without = entry()
    without.evidence = without.evidence | {"last_failure": None}
    assert "Last error" not in mail(without).text


@given(st.text(min_size=1), st.text())
def test_no_name_and_no_answer_can_break_the_subject_or_the_markup(name: str, answer: str) -> None:
    composed = mail(entry(answer=answer), name=name)
    assert len(composed.subject.splitlines()) == 1
    assert composed.html.count("<table") == 1
    assert composed.html.count("<script") == 0
