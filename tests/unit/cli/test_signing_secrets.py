import base64

import pytest
from standardwebhooks.webhooks import Webhook

from infra.cli.signing_secrets import SecretRefusedError, generate, read, standard_form


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
    ],
)
def test_what_cannot_key_both_schemes_is_refused(text: str, expected: str) -> None:
    with pytest.raises(SecretRefusedError, match=expected) as caught:
        read(text)
    assert text not in str(caught.value)
