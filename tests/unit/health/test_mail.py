"""The mails that owners act on: what each must say, and where it must lead."""

import pytest

from bellhop.registry import AuditEntry
from health.mail.links import Links
from tests.support.mail_samples import (
    DISABLED,
    ENABLED,
    FAILURE,
    LINKS,
    WARNED,
    Read,
    days,
    enabled,
    entry,
    mail,
    said,
    warned,
)


@pytest.mark.parametrize(
    ("entry", "subject"),
    [
        (entry(), "Action required: Fix your iOS pAger integration"),
        (entry(rule="operator"), "Your iOS pAger integration was switched off"),
        (warned(), "Your iOS pAger integration is failing: 512 of 1,000 timeouts today"),
        (warned("errors", 4, 7), "Your iOS pAger integration is failing: 4 of 7 days with errors only"),
        (warned("errors", 0, 0), "Your iOS pAger integration is failing"),
        (enabled(), "Your iOS pAger integration is on again"),
    ],
)
def test_the_subject_says_what_happened_to_the_app_named_as_it_is_written(entry: AuditEntry, subject: str) -> None:
    assert mail(entry, name="iOS pAger").subject == subject


@pytest.mark.parametrize("part", ["text", "html"])
@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        pytest.param(
            entry(),
            (
                "Webhooks to Pager are switched off",
                "Mon 23 Nov 2026, 12:00 UTC",
                "Fri 20 Nov 2026",
                "https[:]//hooks[.]example/in?a=1&b=2",
                "http_404 (Not Found)",
                "event ev9",
                "no such hook",
                "bellhop ping pager",
                "bellhop enable pager",
                "kept for 30 days and sent, oldest first, when the app is on again",
            ),
            id="switched off",
        ),
        pytest.param(
            warned(),
            (
                "Webhooks to Pager are failing",
                "512 requests got no response in time",
                "At 1,000 timeouts in one UTC day the app is switched off.",
                "Nothing changes yet. Failed deliveries are being retried.",
                "bellhop ping pager",
                "event ev9",
            ),
            id="warned",
        ),
        pytest.param(
            enabled(),
            (
                "Webhooks to Pager are on again",
                "It responded with 200 in 12 ms",
                "Fri 20 Nov 2026, 08:00 UTC",
                "is being sent now, oldest first",
            ),
            id="on again",
        ),
    ],
)
def test_both_parts_say_what_happened_and_what_to_do(part: str, entry: AuditEntry, facts: tuple[str, ...]) -> None:
    for fact in facts:
        assert fact in said(entry, part)


@pytest.mark.parametrize("part", ["text", "html"])
def test_both_parts_show_the_days_with_their_totals(part: str) -> None:
    shown = said(entry(rule="timeouts", days=days(success=2, error=1, timeout=10_000_000)), part)
    for fact in ("Sun 22 Nov", "Mon 23 Nov", "2 days", "10,000,000", "delivered", "error", "timeouts"):
        assert fact in shown


def test_the_chart_in_html_has_header_cells_for_its_columns_and_days() -> None:
    html = mail(entry()).html
    assert html.count('scope="col"') == 2
    assert html.count('scope="row"') == 3


@pytest.mark.parametrize("part", ["text", "html"])
def test_days_without_deliveries_are_told_in_words(part: str) -> None:
    assert "Nothing was delivered on these days" in said(entry(days=days()), part)


@pytest.mark.parametrize("part", ["text", "html"])
@pytest.mark.parametrize(
    ("error", "label"), [("http_500", "own words"), ("disable_requested", "own words"), ("timeout", "In detail")]
)
def test_what_we_found_ourselves_is_not_given_as_the_endpoints_words(part: str, error: str, label: str) -> None:
    assert label in said(entry(last_failure=FAILURE | {"error": error}), part)


@pytest.mark.parametrize("part", ["text", "html"])
def test_an_app_that_a_person_switched_off_gets_the_reason_and_nothing_to_repair(part: str) -> None:
    shown = said(entry(rule="operator", reason="the customer asked\nus to"), part)
    assert "An administrator switched them off on Mon 23 Nov 2026, 12:00 UTC, not because they failed." in shown
    assert "the customer asked us to" in shown
    assert "You do not have to do anything, unless the reason asks for it." in shown
    assert "bellhop enable pager" in shown
    for wrong in (
        "Repair",
        "Failing since",
        "FAILING SINCE",
        "Last error",
        "LAST ERROR",
        "Day by day",
        "DAY BY DAY",
    ):
        assert wrong not in shown


@pytest.mark.parametrize("part", ["text", "html"])
@pytest.mark.parametrize("action", [DISABLED, WARNED, ENABLED])
@pytest.mark.parametrize("rule", [None, "fatal", "timeouts", "errors", "pause", "operator", "recovery_check"])
def test_an_entry_with_hardly_any_evidence_still_makes_a_whole_mail(part: str, action: str, rule: str) -> None:
    bare = AuditEntry("pager", "1", action=action, at="2026-11-23T12:00:00+00:00", evidence={"rule": rule})
    shown = said(bare, part)
    assert "Webhooks to Pager are" in shown
    assert "You get this mail because you own Acme." in shown
    assert "None" not in shown
    assert "Last error" not in shown


@pytest.mark.parametrize(
    ("entry", "referrer"), [(entry(), "disabled-app"), (warned(), "warned-app"), (enabled(), "enabled-app")]
)
def test_both_parts_lead_to_the_apps_settings(entry: AuditEntry, referrer: str) -> None:
    link = f"https://tracker.example/settings/acme/developer-settings/pager/?referrer={referrer}"
    assert link in mail(entry).text
    assert link in Read(mail(entry).html).links


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("https://t.example/{app}?tab=hooks", "https://t.example/pager?tab=hooks&referrer=disabled-app"),
        ("https://t.example/#/{app}", "https://t.example/?referrer=disabled-app#/pager"),
        ("https://t.example/{organization}", "https://t.example/a%2F%7Bapp%7D%0D%0A?referrer=disabled-app"),
        ("https://t.example/\r\n<{app}>", "https://t.example/%0D%0A%3Cpager%3E?referrer=disabled-app"),
    ],
)
def test_what_is_filled_into_a_link_stays_one_part_of_it(template: str, link: str) -> None:
    assert link in mail(entry(), links=Links(template, ""), slug="a/{app}\r\n").text


def test_a_warning_can_be_refused_by_header_and_by_link() -> None:
    composed = mail(warned())
    link = "https://tracker.example/unsubscribe?from=acme&app=pager&owner=ada%40acme.example"
    assert composed.headers == (("List-Unsubscribe", f"<{link}>"),)
    assert link in composed.text
    assert link in Read(composed.html).links


def test_a_switching_off_and_its_end_cannot_be_refused() -> None:
    for composed in (mail(entry()), mail(enabled())):
        assert composed.headers == ()
        assert "unsubscribe" not in composed.text + composed.html


def test_a_warning_without_a_place_to_refuse_it_has_no_header() -> None:
    composed = mail(warned(), links=Links(LINKS.dashboard_url, ""))
    assert composed.headers == ()
    assert "no more" not in composed.text + composed.html


def test_a_header_that_ses_would_refuse_is_left_out() -> None:
    assert mail(warned(), slug="s" * 900).headers == ()
