"""Text that others wrote, made safe."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.text import bidi_isolate, cut, first_line, one_line, printable, unlinked

FAMILY, FLAG = "👩‍👩‍👧‍👦", "🇩🇪"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        pytest.param("iOS pAger", "iOS pAger", id="an ordinary name"),
        pytest.param("  a \t b\u00a0 c ", "a b c", id="blanks"),
        pytest.param("a\r\nBcc: b\u2028c\u2029d\x85e", "a Bcc: b c d e", id="line breaks"),
        pytest.param("a\0b\x1b[31m", "a b [31m", id="control characters"),
        pytest.param("x\u202egnp.exe\u202c", "xgnp.exe", id="a bidi override"),
        pytest.param("a\u2066b\u2069\u200ec\ufeff\u00ad", "abc", id="isolates and other invisible ones"),
        pytest.param("\ud800\ufffe\U0001ffff", "\ufffd" * 3, id="what is no character"),
        pytest.param(f"{FAMILY} {FLAG} בי\u200cת", f"{FAMILY} {FLAG} בי\u200cת", id="joiners"),
    ],
)
def test_a_text_is_shown_on_one_line_without_tricks(written: str, shown: str) -> None:
    assert one_line(written, 100) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("abcd efg", 6, "abcd…"),
        (f"ab{FAMILY}", 6, "ab…"),
        (f"abe\u0301\u0302{FAMILY}", 5, "ab…"),
        ("ab👍🏽 more", 4, "ab…"),
        (f"a{FLAG * 9}", 5, f"a{FLAG}…"),
        (f"ab{FLAG * 9}", 5, f"ab{FLAG}…"),
        (FAMILY * 9, 6, "👩‍👩‍👧…"),
    ],
)
def test_a_cut_splits_no_character(text: str, limit: int, shown: str) -> None:
    assert cut(text, limit) == shown


def test_the_first_line_that_says_anything_is_taken() -> None:
    assert first_line("\r\n \u202e\n<html>\n<body>") == "<html>"
    assert first_line("\n") == ""
    assert first_line(" \x1b[31mred\u202e \n") == "\x1b[31mred\u202e"


def test_only_what_runs_from_right_to_left_is_isolated() -> None:
    assert bidi_isolate("Pager 7") == "Pager 7"
    assert bidi_isolate("תג 7") == "\u2068תג 7\u2069"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("see http://a.example, a@b.example. So.", "see http[:]//a[.]example, a[@]b[.]example. So."),
        ("www.evil", "www[.]evil"),
        ("WWW.1/x", "WWW[.]1/x"),
        ("evil.com", "evil[.]com"),
        ("evil\u200d.\u200dcom", "evil\u200d[.]\u200dcom"),
        ("evil。com", "evil[。]com"),
        ("mailto:ops", "mailto[:]ops"),
        ("A0:0", "A0[:]0"),
        ("a+1:2", "a+1[:]2"),
        ("。.com", "。[.]com"),
        ("http://192.0.2.1", "http[:]//192[.]0.2.1"),
        (r"\\server\share", r"[\\]server\share"),
        ("version 1.2 at 12:30, ratio 3:4... and so on. Error: none", None),
        ('{"error": "not found"}', None),
    ],
)
def test_nothing_is_left_that_a_mail_client_takes_for_a_link(text: str, written: str | None) -> None:
    assert unlinked(text) == (text if written is None else written)


# As greedy as the mail clients are, all together.
LINK = re.compile(
    r"(?i)[a-z][a-z0-9+.-]*:(//|[a-z0-9])|(www|ftp)\.\w|[^\s@\[]@[^\s@\]]|[^\s.\[]\.[a-z]{2,}|\d+\.\d+\.\d+\.\d+"
)


@given(st.text() | st.text("aZ1.:/@\\ww-_\u200d。 "))
def test_no_text_can_be_written_that_becomes_a_link(text: str) -> None:
    assert not LINK.search(unlinked(text))


@given(st.text(), st.integers(2, 50))
def test_any_text_becomes_one_line_that_is_not_too_long(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in shown)
    shown.encode()


def test_control_and_invisible_characters_become_escapes() -> None:
    assert printable("a\x07b\x9bc\u2028d\ud800") == "a\\x07b\\x9bc\\u2028d\\ud800"
    assert printable("plain é 漢") == "plain é 漢"
