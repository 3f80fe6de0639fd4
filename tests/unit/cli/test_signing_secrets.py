import base64

import pytest
from nacl.signing import SigningKey
from standardwebhooks.webhooks import Webhook

from bellhop.secrets import ED25519, HMAC, public_key, seed_of, signature_of
from infra.cli.signing_secrets import SecretRefusedError, generate, read, read_key, standard_form
from tests.support.key_pairs import KEY_PAIR


def test_a_new_secret_is_64_hex_characters_and_never_the_same() -> None:
    first, second = generate(), generate()
    assert first != second
    assert len(first) == 64
    assert int(first, 16) >= 0


def test_the_standard_form_is_the_one_the_standard_library_takes() -> None:
    secret = generate()
    assert Webhook(standard_form(secret))._whsecret == secret.encode()


def test_both_forms_of_a_secret_are_read_as_the_same() -> None:
    secret = "an existing secret of ours"
    assert read(secret) == read(standard_form(secret)) == secret


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 23, "has 23 characters"),
        ("x" * 65, "has 65 characters"),
        ("é" * 30, "is not printable ASCII"),
        ("x" * 30 + " ", "begins or ends with a space"),
        ("x" * 30 + "\n", "is not printable ASCII"),
        ("whsec_!!!", "is not base64"),
        ("whsec_" + base64.b64encode(bytes(range(200, 232))).decode(), "remove the line"),
        ("whsec_" + base64.b64encode(bytes(30)).decode(), "is not printable ASCII"),
        ("whsk_!!!", "is not base64"),
        ("whsk_" + base64.b64encode(bytes(33)).decode(), "has 33 bytes after whsk_"),
        ("whsk_" + base64.b64encode(bytes(64)).decode(), "is not of the first one"),
        (public_key(KEY_PAIR), "is a public key, which signs nothing"),
    ],
)
def test_what_cannot_key_both_schemes_is_refused(text: str, expected: str) -> None:
    with pytest.raises(SecretRefusedError, match=expected) as caught:
        read(text)
    assert text not in str(caught.value)


def test_a_key_pair_is_new_each_time_and_tells_its_public_key() -> None:
    first, second = generate(ED25519), generate(ED25519)
    assert first != second
    assert (signature_of(first), signature_of(generate())) == (ED25519, HMAC)
    assert base64.b64decode(public_key(first).removeprefix("whpk_")) == bytes(
        SigningKey(seed_of(first)).verify_key
    )


def test_a_private_key_is_read_with_and_without_its_public_key() -> None:
    seed = "whsk_" + base64.b64encode(seed_of(KEY_PAIR)).decode()
    assert read(seed) == read(KEY_PAIR) == KEY_PAIR


def test_what_verifies_is_a_secret_or_a_public_key() -> None:
    assert read_key(public_key(KEY_PAIR)) == public_key(KEY_PAIR)
    assert read_key("k" * 32) == "k" * 32
    with pytest.raises(SecretRefusedError, match="is no public key"):
        read_key("whpk_AAAA")


def test_a_secret_of_the_release_before_that_begins_like_a_key_pair_is_none() -> None:
    assert signature_of("whsk_" + "x" * 59) == HMAC
