import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellhop.deliveries import Delivery
from bellhop.secrets import SigningSecret, public_key, signature_of
from deliver.attempt import signing
from deliver.attempt.signing import Keys
from infra.cli import signing_secrets
from infra.cli.commands import rotate_secret
from infra.cli.errors import CommandError
from tests.support.key_pairs import KEY_PAIR
from tests.unit.cli.cli_runner import EXAMPLE, misused, refused, succeed

IMPORTED = "0123456789abcdef0123456789abcdef"
DAY = timedelta(days=1)


@pytest.fixture
def old(cloudformation: object) -> str:
    succeed("apply", EXAMPLE, "--yes")
    return stored().secret


def stored() -> SigningSecret:
    return SigningSecret.get("pager")


def now() -> float:
    return datetime.now(UTC).timestamp()


def test_both_secrets_are_stored_until_the_overlap_ends_and_the_new_one_is_shown(old: str) -> None:
    shown = succeed("rotate-secret", "pager", "--overlap", "2h")
    row = stored()
    assert row.previous == old != row.secret
    assert float(row.previous_until or 0) == pytest.approx(now() + 7200, abs=30)
    assert shown.count(row.secret) == 1
    assert shown.count(signing_secrets.standard_form(row.secret)) == 1
    assert old not in shown
    assert "within 60 s (CacheSeconds)" in shown
    assert shown.index("Signing secret of pager") < shown.index("Rotated the secret of pager. Until ")


def test_a_receiver_with_either_secret_verifies_while_they_overlap(old: str) -> None:
    succeed("rotate-secret", "pager")
    row = stored()
    delivery = Delivery("msg_1", "e", "issue.created", "pager", "4501", "i", b"{}")
    sent = signing.headers(delivery, Keys(row.secret, row.live_previous(now())), "r", 1)
    assert sent["webhook-signature"].split() == [signing.standard(s, "msg_1", 1, b"{}") for s in (row.secret, old)]
    assert sent["Sentry-Hook-Signature"] == signing.classic(old, b"{}")
    assert float(row.previous_until or 0) == pytest.approx(now() + 86_400, abs=30)


def test_the_secret_is_shown_before_it_is_written(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: object) -> None:
        raise CommandError("the table is gone")

    monkeypatch.setattr(rotate_secret, "execute", crash)
    assert "the table is gone" in refused("rotate-secret", "pager")
    assert stored().secret == old


def test_without_an_overlap_the_old_secret_is_forgotten_at_once(old: str) -> None:
    shown = succeed("rotate-secret", "pager", "--overlap", "0")
    assert "The new one alone signs." in shown
    row = stored()
    assert row.secret != old
    assert [row.previous, row.previous_until] == [None, None]


def test_a_running_overlap_is_kept_unless_it_is_dropped_by_force(old: str) -> None:
    succeed("rotate-secret", "pager")
    second = stored().secret
    said = refused("rotate-secret", "pager")
    assert "rotating already, until " in said
    assert "--force" in said
    assert stored().secret == second
    succeed("rotate-secret", "pager", "--force")
    assert stored().previous == second


def test_an_overlap_that_has_ended_is_in_nobodys_way(old: str) -> None:
    SigningSecret("pager").update(
        actions=[SigningSecret.previous.set("older"), SigningSecret.previous_until.set(now() - 1)]
    )
    succeed("rotate-secret", "pager")
    assert stored().previous == old


@pytest.mark.parametrize("text", [IMPORTED, signing_secrets.standard_form(IMPORTED)])
def test_an_imported_secret_is_stored_and_not_shown(old: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW", text)
    shown = succeed("rotate-secret", "pager", "--secret-env", "NEW")
    assert stored().secret == IMPORTED
    assert "both secrets sign" in shown
    assert not any(secret in shown for secret in (text, IMPORTED))
    assert "is the secret that pager has already" in refused(
        "rotate-secret", "pager", "--secret-env", "NEW", "--force"
    )


def test_what_cannot_be_imported_is_refused_without_repeating_it(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW", "too-short")
    said = misused("rotate-secret", "pager", "--secret-env", "NEW")
    assert "--secret-env: the value of NEW has 9 characters; 24 to 64 are needed" in said
    assert "too-short" not in said
    said = misused("rotate-secret", "pager", "--secret-env", "OTHER")
    assert "--secret-env: the variable OTHER is not set" in said


def test_of_two_operators_one_wins_and_the_other_is_told(old: str) -> None:
    moment = datetime.now(UTC)
    mine = rotate_secret.prepare("pager", None, DAY, moment, force=False)
    theirs = rotate_secret.prepare("pager", None, DAY, moment, force=False)
    rotate_secret.execute(theirs)
    with pytest.raises(CommandError, match="the one shown here was not stored"):
        rotate_secret.execute(mine)
    assert (stored().secret, stored().previous) == (theirs.secret, old)
    assert mine.secret not in repr(mine)


def test_a_secret_that_was_stored_is_not_called_lost_because_the_response_was(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = SigningSecret.update

    def twice(row: SigningSecret, **change: Any) -> Any:
        update(row, **change)  # the response is lost, and the SDK writes a second time
        return update(row, **change)

    monkeypatch.setattr(SigningSecret, "update", twice)
    shown = succeed("rotate-secret", "pager")
    assert stored().secret in shown
    assert stored().previous == old


@pytest.mark.parametrize("overlap", ["8d", "1y", "-1h", "forever"])
def test_an_overlap_is_at_most_seven_days(old: str, overlap: str) -> None:
    assert "--overlap" in misused("rotate-secret", "pager", f"--overlap={overlap}")
    assert stored().secret == old


def test_an_app_that_is_unknown_or_has_no_secret_is_an_error(old: str) -> None:
    assert "did you mean pager?" in refused("rotate-secret", "pagr")
    stored().delete()
    assert "`bellhop apply FILE` makes its first" in refused("rotate-secret", "pager")


def test_as_json_the_caller_gets_the_new_secret_and_when_the_overlap_ends(old: str) -> None:
    made = json.loads(succeed("rotate-secret", "pager", "--overlap", "7d", "--json"))
    assert made["new_secret"]["classic"] == stored().secret
    assert datetime.fromisoformat(made["both_sign_until"]).timestamp() == float(stored().previous_until or 0)
    assert made["seen_within_seconds"] == 60


def test_the_app_shows_that_a_rotation_is_running_and_never_a_secret(old: str) -> None:
    assert "rotating" not in succeed("app", "pager")
    assert json.loads(succeed("app", "pager", "--json"))["rotating_until"] is None
    succeed("rotate-secret", "pager")
    shown = succeed("app", "pager") + succeed("app", "pager", "--json")
    assert "secret     rotating: the one before it signs too, until " in shown
    assert '"rotating_until": "20' in shown
    assert not any(secret in shown for secret in (old, stored().secret))


def test_a_key_pair_is_rotated_to_and_only_its_public_key_is_ever_shown(old: str) -> None:
    shown = succeed("rotate-secret", "pager", "--signature", "ed25519")
    row = stored()
    assert (signature_of(row.secret), row.previous) == ("ed25519", old)
    assert f"Standard Webhooks  {public_key(row.secret)}" in shown
    assert "Sentry-Hook-Signature  uses the old secret until then, and is left out after" in shown
    shown += succeed("app", "pager") + succeed("app", "pager", "--json") + succeed("export")
    assert f"public key {public_key(row.secret)}" in shown
    assert "signature: ed25519" in shown
    assert not any(text in shown for text in (row.secret, "whsk_", old))


def test_a_key_pair_is_followed_by_another_unless_a_signature_is_named(old: str) -> None:
    succeed("rotate-secret", "pager", "--signature", "ed25519", "--overlap", "0")
    first = stored().secret
    made = json.loads(succeed("rotate-secret", "pager", "--overlap", "0", "--json"))
    assert made["new_secret"] == {"public_key": public_key(stored().secret)}
    assert stored().secret != first
    shown = succeed("rotate-secret", "pager", "--signature", "hmac")
    assert "Sentry-Hook-Signature  is there from now on, and uses the new secret" in shown
    assert json.loads(succeed("app", "pager", "--json"))["public_key"] is None


def test_a_signature_that_does_not_fit_the_imported_secret_is_refused(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW", IMPORTED)
    said = misused("rotate-secret", "pager", "--secret-env", "NEW", "--signature", "ed25519")
    assert "--signature ed25519 does not fit the secret of --secret-env" in said
    monkeypatch.setenv("NEW", KEY_PAIR)
    succeed("rotate-secret", "pager", "--secret-env", "NEW")
    assert stored().secret == KEY_PAIR
