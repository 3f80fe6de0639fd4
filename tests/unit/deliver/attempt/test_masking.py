"""What an endpoint may repeat of the app's secrets, in whatever form, is masked."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver.attempt import skeleton
from deliver.attempt.masking import ENOUGH, MASKED, MOST_VALUES, MOST_WITHOUT_SKELETON, SECRET_LENGTH, Mask
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
    left = f"who is {MASKED}?" if form == TOKEN else MASKED
    assert masked(f"who is {form}?", Authorization=prefix + TOKEN) == left


@pytest.mark.parametrize("text", [BASIC, "bellhop:s3cr3t-pass", "s3cr3t-pass"])
@pytest.mark.parametrize("padded", [True, False])
def test_a_password_that_an_endpoint_decoded_was_logged(text: str, *, padded: bool) -> None:
    value = BASIC if padded else BASIC.rstrip("=")
    text = text if padded else text.rstrip("=")
    assert masked(f"wrong: {text}", Authorization=f"Basic {value}") == f"wrong: {MASKED}"


def test_what_php_escapes_is_masked() -> None:
    assert masked('{"got":"a\\/b\\/c\\/d\\/e"}', **{"X-Key": "a/b/c/d/e"}) == f'{{"got":"{MASKED}"}}'


@pytest.mark.parametrize("value", ["Basic no-base64!", "Basic " + base64.b64encode(b"\xff" * 9).decode()])
def test_what_is_no_basic_scheme_is_masked_as_it_stands(value: str) -> None:
    assert masked(f"<{value}> <{value[6:]}>", Authorization=value) == f"<{MASKED}> <{MASKED}>"


def test_a_value_of_several_words_has_no_scheme() -> None:
    text = "Content-Type: text/html; charset=utf-8"
    assert masked(text, Accept="application/json; charset=utf-8") == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cookie", "theme=dark; session=c2Vzc2lvbg%3D%3D; b=2"),
        ("X-Login", 'user=bellhop, key="c2Vzc2lvbg%3D%3D"'),
        ("Authorization", 'Digest username="me", response="c2Vzc2lvbg%3D%3D"'),
        ("Authorization", "ApiKey key=c2Vzc2lvbg%3D%3D"),
        ("Authorization", 'OAuth oauth_token="c2Vzc2lvbg%3D%3D"'),
    ],
)
def test_a_cookie_that_an_endpoint_repeated_alone_was_logged(name: str, value: str) -> None:
    assert masked("session c2Vzc2lvbg%3D%3D is over", **{name: value}) == f"session {MASKED} is over"
    assert masked(f"no {value}!", **{name: value}) == f"no {MASKED}!"


def test_a_header_of_ten_values_had_the_cookie_after_it_logged() -> None:
    many = "; ".join(f"c{n}=value-{n:04}" for n in range(MOST_VALUES))
    headers = {"X-Many": many, "Cookie": "session=c2Vzc2lvbg%3D%3D"}
    assert masked("session c2Vzc2lvbg%3D%3D is over", **headers) == f"session {MASKED} is over"


def test_ten_values_of_each_of_many_headers_took_fifty_milliseconds_to_look_for() -> None:
    values = [f"value-{n:04}" for n in range(2 * MOST_VALUES)]
    headers = {f"X-{n}": f"a=1; b={value}" for n, value in enumerate(values)}
    text = masked(" ".join(values), **headers)
    assert text.split() == [MASKED] * MOST_VALUES + values[MOST_VALUES:]
    assert [masked(value, **headers) for value in headers.values()] == [MASKED] * len(values)


def test_short_values_are_no_secrets() -> None:
    assert masked("red is red", **{"X-Team": "red"}) == "red is red"


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=SECRET_LENGTH, max_size=40))
def test_whatever_a_header_is_neither_it_nor_its_escaped_forms_are_left(value: str) -> None:
    for form in (value, json.dumps(value), quote(value, safe="")):
        assert form.strip('"') not in masked(f"({form})", **{"X-Key": value}) or set(value) <= {"*", '"'}


def escaped(text: str, form: str, kept: str = "") -> str:
    return "".join(
        each * 2 if each == "\\" else each if each.isalnum() or each in kept else form.format(ord(each))
        for each in text
    )


ESCAPINGS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text)[1:-1],
    "JSON of Go": lambda text: (
        json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    ),
    "JSON of .NET": lambda text: escaped(text, "\\u{:04X}", "/=-_.:;#%"),
    "JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "html.escape": html.escape,
    "html/template of Go": lambda text: html.escape(text).replace("+", "&#43;"),
    "Handlebars": lambda text: html.escape(text).replace("/", "&#x2F;").replace("=", "&#x3D;"),
    "htmlspecialchars of PHP": lambda text: html.escape(text).replace("&#x27;", "&#039;"),
    "quote": quote,
    "quote of all": lambda text: quote(text, safe=""),
    "quote_plus": quote_plus,
    "encodeURIComponent": lambda text: quote(text, safe="!'()*~-_."),
    "repr": lambda text: repr(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "hexadecimal": lambda text: escaped(text, "\\x{:02x}"),
    "in lower case": lambda text: "".join(each if each.isalnum() else f"%{ord(each):02x}" for each in text),
}
TOKENS = ("Zm9v+YmFy/cGFnZXI+c2VjcmV0/dG9r==", "pa\"ss<wo>rd&key'1", "client/secret+one")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("escaping", ESCAPINGS)
@pytest.mark.parametrize("token", TOKENS)
def test_a_secret_that_was_escaped_in_another_way_than_five_was_logged(
    token: str, escaping: str, times: int
) -> None:
    form = token
    for _ in range(times):
        form = ESCAPINGS[escaping](form)
    left = f"<p>{MASKED}</p>" if form == token else MASKED
    assert masked(f"<p>{form}</p>", Authorization=f"Bearer {token}") == left


def test_a_secret_that_an_encoder_broke_into_lines_was_logged() -> None:
    assert masked(f"got {BASIC[:12]}\r\n{BASIC[12:]}", Authorization=f"Basic {BASIC}") == MASKED


ASCII = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
SECRETS = st.text(st.one_of(ASCII, st.sampled_from("%&;\\u25aF\"'")), min_size=SECRET_LENGTH, max_size=40)


@given(SECRETS, st.sampled_from([*ESCAPINGS.values()]))
def test_however_a_secret_is_escaped_it_is_not_left(secret: str, escape: Callable[[str], str]) -> None:
    form = escape(secret)
    left = masked(f"({form})", **{"X-Key": secret})
    if all(len(each) >= SECRET_LENGTH for each in skeleton.of_secret(secret)):
        assert MASKED in left


@given(SECRETS, st.sampled_from([*ESCAPINGS.values()]), st.integers(SECRET_LENGTH))
def test_however_a_secret_is_escaped_its_beginning_is_not_left_where_the_text_was_cut(
    secret: str, escape: Callable[[str], str], cut: int
) -> None:
    begun = escape(secret)[:cut]
    left = Mask(Keys("", headers={"X-Key": secret})).hide("(" + begun, cut=True)
    shortest = min(len(skeleton.of(begun, cut=True)), *map(len, skeleton.of_secret(secret)))
    if shortest >= SECRET_LENGTH:
        assert MASKED in left


@given(SECRETS, st.text(ASCII, max_size=40))
def test_a_text_without_a_secret_stays_as_it_is(secret: str, text: str) -> None:
    if not any(each in skeleton.of(text) for each in [secret, *skeleton.of_secret(secret)] if each):
        assert masked(text, **{"X-Key": secret}) == text.replace(secret, MASKED)


def test_of_many_secrets_of_few_letters_the_first_are_masked_escaped_and_all_as_they_are() -> None:
    secrets = [f'"/"/"/"/{number}' for number in range(MOST_WITHOUT_SKELETON + 1)]
    headers = {f"X-{secret[-1]}": secret for secret in secrets}
    assert masked(" ".join(secrets), **headers) == " ".join([MASKED] * len(secrets))
    *first, last = (json.dumps(secret)[1:-1] for secret in secrets)
    assert masked(" ".join([*first, last]), **headers) == " ".join([MASKED] * len(first) + [last])


@pytest.mark.parametrize("length", [ENOUGH, ENOUGH + 1, 7000])
def test_a_long_token_is_masked_whole_begun_and_escaped(length: int) -> None:
    token = ("/" + "0123456789abcdef" * 500)[:length]
    mask = Mask(Keys("", headers={"Authorization": f"Bearer {token}"}))
    assert mask.hide(f"got {token}!") == f"got {MASKED}!"
    assert mask.hide(f"got {quote(token, safe='')}!") == MASKED
    assert MASKED in mask.hide(f"got {token[:-1]}", cut=True)
    assert mask.hide(f"got {token[: ENOUGH - 1]}", cut=True) == f"got {MASKED}"


@pytest.mark.parametrize(
    ("hostile", "left"),
    [
        ("\\", ""),
        ("\\u", "u"),
        ("&", ""),
        ("&amp;", ""),
        ("&aaaaaaaa", "aaaaaaaa"),
        ("%25", ""),
        ("%2", "2"),
        ("a/", "a"),
    ],
)
def test_a_text_made_to_be_searched_for_long_takes_a_time_that_grows_with_its_length(
    hostile: str, left: str
) -> None:
    assert skeleton.of(hostile * 100_000) == left * 100_000  # with that of its square it would take an hour
    assert skeleton.of(f"a{hostile[0]}" + hostile[1:] * 100_000, cut=True)[:1] == "a"
