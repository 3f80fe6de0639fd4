"""What an endpoint may repeat of the app's secrets, in whatever form, is masked."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver.attempt.masking import MASKED, SECRET_LENGTH, Mask
from deliver.attempt.signing import Keys

TOKEN = 'tok/en-3f9a+\u00e9"x'
BASIC = base64.b64encode(b"bellhop:s3cr3t-pass").decode()


def masked(text: str, **headers: str) -> str:
    return Mask(Keys("whsec_" + "A" * 32, headers=headers)).hide(text)


@pytest.mark.parametrize("prefix", ["Bearer ", "Token  ", "token-v2 ", ""])
@pytest.mark.parametrize(
    "form",
    [TOKEN, json.dumps(TOKEN)[1:-1], json.dumps(TOKEN, ensure_ascii=False)[1:-1], quote(TOKEN, safe="")],
)
def test_an_endpoint_that_repeated_a_token_without_its_scheme_or_escaped_had_it_logged(
    prefix: str, form: str
) -> None:
    assert masked(f"who is {form}?", Authorization=prefix + TOKEN) == f"who is {MASKED}?"


@pytest.mark.parametrize("text", [BASIC, "bellhop:s3cr3t-pass", "s3cr3t-pass"])
def test_a_password_that_an_endpoint_decoded_was_logged(text: str) -> None:
    assert masked(f"wrong: {text}", Authorization=f"Basic {BASIC}") == f"wrong: {MASKED}"


def test_what_php_escapes_is_masked() -> None:
    assert masked('{"got":"a\\/b\\/c\\/d\\/e"}', **{"X-Key": "a/b/c/d/e"}) == f'{{"got":"{MASKED}"}}'


@pytest.mark.parametrize("value", ["Basic no-base64!", "Basic " + base64.b64encode(b"\xff" * 9).decode()])
def test_what_is_no_basic_scheme_is_masked_as_it_stands(value: str) -> None:
    assert masked(f"<{value}> <{value[6:]}>", Authorization=value) == f"<{MASKED}> <{MASKED}>"


def test_a_value_of_several_words_has_no_scheme() -> None:
    text = "Content-Type: text/html; charset=utf-8"
    assert masked(text, Accept="application/json; charset=utf-8") == text


def test_short_values_are_no_secrets() -> None:
    assert masked("red is red", **{"X-Team": "red"}) == "red is red"


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=SECRET_LENGTH, max_size=40))
def test_whatever_a_header_is_neither_it_nor_its_escaped_forms_are_left(value: str) -> None:
    for form in (value, json.dumps(value), quote(value, safe="")):
        assert form.strip('"') not in masked(f"({form})", **{"X-Key": value}) or set(value) <= {"*", '"'}
