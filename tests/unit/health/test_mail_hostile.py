"""Mails about apps whose names, or whose endpoints' responses, are hostile."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.registry import AuditEntry
from health.mail.content import compose
from tests.support.fakes import app, organization
from tests.support.mail_samples import (
    DISABLED,
    ENABLED,
    FAILURE,
    LINKS,
    WARNED,
    Read,
    enabled,
    entry,
    mail,
    warned,
)

HOSTILE = st.text(max_size=400) | st.text(
    "\r\n\0\x1b\x85\u2028\u2029\u202e\u2066\ud800\ufffe<>&\"' a", max_size=400
)


def test_markup_in_names_and_responses_is_shown_and_not_obeyed() -> None:
    evil = '<script>alert(1)</script> "x"'
    composed = mail(entry(last_failure=FAILURE | {"response": evil}), name=evil)
    assert "<script>" not in composed.html
    assert Read(composed.html).text.count(evil) >= 3
    assert composed.text.count(evil) >= 3


LURE = "log in at https://evil.example/in, www.evil.example, evil.example or a@evil.example"


@pytest.mark.parametrize("make", [entry, warned, enabled])
def test_neither_a_response_nor_a_name_nor_a_reason_becomes_a_link_in_any_part(
    make: Callable[..., AuditEntry],
) -> None:
    made = make()
    made.evidence = made.evidence | {
        "last_failure": FAILURE | {"response": LURE},
        "reason": LURE,
        "url": "https://evil.example/in",
    }
    composed = mail(made, name=LURE, company=LURE)
    for part in (composed.subject, composed.text, composed.html):
        for linked in ("https://evil", "www.evil", "evil.example", "a@evil"):
            assert linked not in part
    assert "evil[.]example" in composed.subject


def test_a_command_cannot_carry_another_one() -> None:
    composed = compose("a@b.example", entry(), app("pager; reboot"), organization(), LINKS)
    assert "bellhop ping 'pager; reboot'\n" in composed.text


@pytest.mark.parametrize("make", [entry, warned, enabled])
@pytest.mark.parametrize("name", ["W" * 300, "👩‍👩‍👧‍👦" * 100, "ת" * 300, "a" + "\u0301" * 300])
def test_a_name_without_end_is_cut(make: Callable[[], AuditEntry], name: str) -> None:
    composed = mail(make(), name=name)
    assert len(composed.subject) <= 120
    assert "…" in composed.subject


def test_a_name_of_which_nothing_is_left_gives_way_to_the_apps_id() -> None:
    assert mail(entry(), name="\r\n\u202e\0").subject == "Action required: Fix your pager integration"


@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from([DISABLED, WARNED, ENABLED]))
def test_no_name_and_no_response_can_break_a_mail(name: str, company: str, response: str, action: str) -> None:
    plain = mail(entry(action))
    composed = mail(entry(action, last_failure=FAILURE | {"response": "a" + response}), name, company=company)
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in composed.subject)
    assert len(composed.subject) <= 120
    assert Read(composed.html).elements == Read(plain.html).elements
    assert composed.text.splitlines() == composed.text.removesuffix("\n").split("\n")
    assert {line for line in plain.text.splitlines() if "Nov" in line and "=" in line} <= {
        *composed.text.splitlines()
    }
    assert (composed.subject + composed.text + composed.html).encode()


@given(st.text("\u202a\u202b\u202d\u202e\u2066\u2067\u2069\u200eא", min_size=1))
def test_no_name_and_no_response_can_turn_the_text_around(hostile: str) -> None:
    composed = mail(entry(last_failure=FAILURE | {"response": hostile}), name=hostile)
    assert not {"\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067"} & {*composed.text, *composed.html}
    assert composed.text.count("\u2068") == composed.text.count("\u2069")
