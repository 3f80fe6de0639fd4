"""Section G of the reference behaviour, and Standard Webhooks by its own library."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey
from standardwebhooks import Webhook, WebhookVerificationError

from bellhop.secrets import seed_of
from deliver.attempt.signing import Keys, denied, headers, signed_bytes, standard_of
from tests.support.fakes import SECRET, delivery
from tests.support.key_pairs import KEY_PAIR, OTHER_PAIR

BODIES = st.dictionaries(st.text(), st.text()).map(lambda value: json.dumps(value, ensure_ascii=True).encode())


def signed(body: bytes = b"{}", timestamp: int | None = None) -> dict[str, str]:
    return headers(delivery(body=body), Keys(SECRET), "r" * 32, timestamp or int(time.time()))


@given(st.binary())
def test_the_classic_signature_is_the_hmac_of_the_exact_body(body: bytes) -> None:
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert signed(body)["Sentry-Hook-Signature"] == expected


@given(BODIES)
def test_a_standard_library_verifies_every_webhook(body: bytes) -> None:
    assert Webhook(SECRET.encode()).verify(body, signed(body)) == json.loads(body)


def test_a_standard_library_refuses_a_replay_and_a_changed_body() -> None:
    library = Webhook(SECRET.encode())
    with pytest.raises(WebhookVerificationError):
        library.verify(b"{}", signed(timestamp=int(time.time()) - 3600))
    with pytest.raises(WebhookVerificationError):
        library.verify(b'{"a":1}', signed())


def test_the_known_vector_of_standard_webhooks() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = standard_of(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_headers_are_those_of_both_schemes() -> None:
    got = signed(timestamp=1_700_000_000)
    assert got["Content-Type"] == "application/json"
    assert got["Request-ID"] == "r" * 32
    assert got["Sentry-Hook-Resource"] == "issue"
    assert got["Sentry-Hook-Timestamp"] == got["webhook-timestamp"] == "1700000000"
    assert got["webhook-id"] == delivery().delivery_id


OLD = "cd" * 32


def test_while_two_secrets_overlap_the_standard_header_has_a_signature_of_each() -> None:
    both = headers(delivery(body=b"{}"), Keys(SECRET, previous=OLD), "r", int(time.time()))
    for secret in (SECRET, OLD):
        assert Webhook(secret.encode()).verify(b"{}", both) == {}
        alone = headers(delivery(body=b"{}"), Keys(secret), "r", int(both["webhook-timestamp"]))
        assert alone["webhook-signature"] in both["webhook-signature"].split(" ")


def test_while_two_secrets_overlap_the_classic_header_uses_the_old_one() -> None:
    both = headers(delivery(), Keys(SECRET, previous=OLD), "r", 1)
    assert both["Sentry-Hook-Signature"] == headers(delivery(), Keys(OLD), "r", 1)["Sentry-Hook-Signature"]


def test_an_apps_own_headers_are_sent_under_ours() -> None:
    custom = {"X-Team": "core", "Webhook-Signature": "forged", "sentry-hook-signature": "forged", "Host": "evil"}
    got = headers(delivery(), Keys(SECRET, headers=custom), "r", 1)
    assert got["X-Team"] == "core"
    assert "forged" not in got.values()
    assert not {"Host", "host"} & set(got)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "TE",
        "Transfer-Encoding",
        "Host",
        "Content-Length",
        "content-type",
        "Webhook-Id",
        "Request-ID",
    ],
)
def test_headers_that_frame_the_message_or_are_ours_are_denied(name: str) -> None:
    assert denied(name)


def test_secrets_are_not_in_what_a_log_would_print() -> None:
    shown = repr(Keys(SECRET, previous=OLD, headers={"Authorization": "hunter2"}))
    assert not [secret for secret in (SECRET, OLD, "hunter2") if secret in shown]


def ed25519(signature: str, secret: str, sent: dict[str, str], body: bytes) -> bool:
    """Whether a signature is that key pair's."""
    version, _, text = signature.partition(",")
    signed = signed_bytes(sent["webhook-id"], int(sent["webhook-timestamp"]), body)
    try:
        SigningKey(seed_of(secret)).verify_key.verify(signed, base64.b64decode(text))
    except BadSignatureError:
        return False
    return version == "v1a"


@given(st.binary())
def test_a_key_pair_signs_what_its_public_key_verifies_and_there_is_no_classic_header(body: bytes) -> None:
    sent = headers(delivery(body=body), Keys(KEY_PAIR), "r", 1)
    assert ed25519(sent["webhook-signature"], KEY_PAIR, sent, body)
    assert not ed25519(sent["webhook-signature"], OTHER_PAIR, sent, body)
    assert not ed25519(sent["webhook-signature"], KEY_PAIR, sent, body + b" ")
    assert "Sentry-Hook-Signature" not in sent


@pytest.mark.parametrize(("new", "old"), [(KEY_PAIR, SECRET), (SECRET, KEY_PAIR)])
def test_from_one_kind_of_secret_to_the_other_both_sign_and_the_classic_header_is_the_hmac(
    new: str, old: str
) -> None:
    sent = headers(delivery(body=b"{}"), Keys(new, previous=old), "r", 1)
    alone = headers(delivery(body=b"{}"), Keys(SECRET), "r", 1)
    signatures = sent["webhook-signature"].split(" ")
    assert [each.partition(",")[0] for each in signatures] == (["v1a", "v1"] if new == KEY_PAIR else ["v1", "v1a"])
    assert alone["webhook-signature"] in signatures
    assert ed25519(next(each for each in signatures if each.startswith("v1a")), KEY_PAIR, sent, b"{}")
    assert sent["Sentry-Hook-Signature"] == alone["Sentry-Hook-Signature"]


def test_two_key_pairs_overlap() -> None:
    sent = headers(delivery(body=b"{}"), Keys(KEY_PAIR, previous=OTHER_PAIR), "r", 1)
    first, second = sent["webhook-signature"].split(" ")
    assert ed25519(first, KEY_PAIR, sent, b"{}")
    assert ed25519(second, OTHER_PAIR, sent, b"{}")
