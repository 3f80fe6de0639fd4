import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pynamodb.transactions import TransactWrite

from bellhop import attempts, circuits
from bellhop.attempts import PARKED, RETRYING, NextState
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.replays import Replay
from bellhop.secrets import SigningSecret
from health import transitions
from health.messages import FollowUp
from infra.cli.registry import deleting
from tests.support.fakes import delivery
from tests.unit.cli.cli_runner import EXAMPLE, bellhop, refused, succeed
from tests.unit.cli.failing_app import (
    ADA,
    BOB,
    add_replayable,
    announced,
    audit_entry,
    register,
    switch_off,
)

pytestmark = pytest.mark.usefixtures("cloudformation")

DELETED = FollowUp("pager", "00000001#deleted")


def registered() -> None:
    register()
    SigningSecret("pager", secret="s" * 24, headers={"Authorization": "token"}).save()


def left() -> dict[str, int]:
    models = (App, SigningSecret, Installation, Organization)
    numbers = {model.__name__: len(list(model.scan())) for model in models}
    return {name: number for name, number in numbers.items() if number}


def retrying() -> None:
    state = NextState(RETRYING, datetime.now(UTC).timestamp() + 60)
    assert attempts.open_record(delivery(delivery_id="msg_retrying"), state, datetime.now(UTC))


# ---- An app


def test_an_app_goes_with_its_secret_its_headers_and_its_installations_and_health_is_told() -> None:
    registered()
    Installation("globex", "in-2", app_id="pager").save()
    shown = succeed("delete", "app", "pager", "--yes")
    assert left() == {"Organization": 1}
    assert announced() == [DELETED]
    entry = audit_entry("00000001#deleted")
    assert (entry.actor, entry.organization_id, entry.announced_at is not None) == ("operator:moto", "acme", True)
    assert "- installation in-2: pager in globex, installed\n" in shown
    assert "token" not in shown
    assert "Deleted pager from bellhop.\n" in shown


def test_an_app_is_deleted_only_when_that_is_confirmed() -> None:
    registered()
    assert "nothing is deleted yet: add --yes" in refused("delete", "app", "pager")
    assert "Nothing was deleted.\n" in succeed("delete", "app", "pager", "--dry-run", "--yes")
    assert left() == {"App": 1, "SigningSecret": 1, "Installation": 1, "Organization": 1}
    assert announced() == []


def test_deliveries_that_wait_keep_their_app_unless_they_are_given_up() -> None:
    registered()
    add_replayable(2)
    retrying()
    said = refused("delete", "app", "pager", "--yes")
    assert "deliveries wait (2 parked, 1 retrying), and would never be sent" in said
    assert left()["App"] == 1
    assert "Waiting, and never sent then: 2 parked, 1 retrying." in succeed(
        "delete", "app", "pager", "--yes", "--discard"
    )
    assert left() == {"Organization": 1}


def test_what_there_is_can_be_read_by_a_program() -> None:
    registered()
    switch_off()
    add_replayable(1)
    document = json.loads(succeed("delete", "app", "pager", "--dry-run", "--json"))
    free_at = datetime.fromisoformat(document.pop("slug_free_at"))
    assert timedelta(days=42) < free_at - datetime.now(UTC) <= timedelta(days=43)
    names = {"installation_id": "in-pager", "app_id": "pager", "organization_id": "acme", "status": "installed"}
    assert document == {
        "stack": "bellhop",
        "app_id": "pager",
        "registered": True,
        "secret": True,
        "installations": [names],
        "waiting": {"parked": 1, "retrying": 0, "complete": True},
        "addresses_in": ["00000001#disabled"],
    }


def test_audit_entries_stay_without_addresses() -> None:
    registered()
    switch_off()
    assert "addresses in audit entries: 2" in succeed("delete", "app", "pager", "--yes")
    kept = audit_entry("00000001#disabled")
    assert (kept.mails.attribute_values, kept.actor) == ({}, "health")
    assert ADA not in str(kept.attribute_values)
    assert BOB not in str(kept.attribute_values)


def test_addresses_to_which_mail_is_under_way_stay_until_it_is_repeated() -> None:
    registered()
    switch_off(finished_at=None)
    assert "owners' addresses stay in 00000001#disabled" in refused("delete", "app", "pager", "--yes")
    assert audit_entry("00000001#disabled").mails.attribute_values == {ADA: "sent", BOB: "unknown"}
    AuditEntry("pager", "00000001#disabled").update(actions=[AuditEntry.finished_at.set("2026-11-27T12:00:00")])
    succeed("delete", "app", "pager", "--yes")
    assert audit_entry("00000001#disabled").mails.attribute_values == {}


def test_an_app_that_was_never_registered_is_named_with_the_way_out() -> None:
    registered()
    assert "no app 'pagr': did you mean pager?" in refused("delete", "app", "pagr", "--yes")


def test_what_was_left_by_a_deletion_by_hand_goes_too() -> None:
    registered()
    App("pager").delete()
    add_replayable(1)
    succeed("delete", "app", "pager", "--yes")
    assert left() == {"Organization": 1}
    [sent] = announced()
    assert isinstance(sent, Replay)
    assert (sent.app_id, sent.states) == ("pager", (PARKED,))


def test_a_stop_by_a_clock_that_is_ahead_kept_what_was_parked_of_a_deleted_app_from_being_ended() -> None:
    registered()
    App("pager").delete()
    add_replayable(1)
    ahead = datetime.now(UTC).timestamp() + 600
    circuits.stop_replays("pager", ahead)
    succeed("delete", "app", "pager", "--yes")
    [sent] = announced()
    assert isinstance(sent, Replay)
    assert sent.started > ahead


class DiedError(Exception):
    """As if the command had been killed."""


def die(*_: Any, **__: Any) -> None:
    raise DiedError


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (Installation, "delete"),
        (TransactWrite, "_commit"),
        (transitions, "announce"),
        (deleting, "forget_addresses"),
    ],
)
def test_a_run_that_was_interrupted_is_completed_by_the_same_command(
    where: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered()
    switch_off()
    add_replayable(1)
    arguments = ("delete", "app", "pager", "--yes", "--discard")
    with monkeypatch.context() as patch:
        patch.setattr(where, name, die)
        assert isinstance(bellhop(*arguments).exception, DiedError)
    succeed(*arguments)
    assert left() == {"Organization": 1}
    assert audit_entry("00000001#disabled").mails.attribute_values == {}
    [sent, *others] = announced()
    assert sent == FollowUp("pager", "00000002#deleted")
    assert all(isinstance(each, Replay) for each in others)


def test_an_app_that_was_switched_meanwhile_is_not_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    registered()
    real = deleting.delete_app

    def late(*arguments: Any) -> Any:
        App("pager").update(actions=[App.generation.set(7)])
        return real(*arguments)

    monkeypatch.setattr(deleting, "delete_app", late)
    assert "changed meanwhile by somebody else" in refused("delete", "app", "pager", "--yes")
    assert left()["App"] == left()["SigningSecret"] == 1


def test_the_slug_of_a_deleted_app_is_not_given_to_another_before_all_under_it_has_expired() -> None:
    succeed("apply", EXAMPLE, "--yes")
    succeed("delete", "app", "pager", "--yes")
    free_at = datetime.now(UTC) + timedelta(days=43)
    said = refused("apply", EXAMPLE, "--yes")
    assert f"apps.pager: was deleted; nobody gets its slug before {free_at:%Y-%m-%d}: choose another one" in said
    long_ago = (datetime.now(UTC) - timedelta(days=43)).isoformat(timespec="seconds")
    AuditEntry("pager", "00000001#deleted").update(actions=[AuditEntry.at.set(long_ago)])
    succeed("apply", EXAMPLE, "--yes")
    assert int(App.get("pager").generation) == 3  # above whatever was counted, or paused, under its name


# ---- An organisation


def test_an_organisation_goes_with_its_owners_and_what_is_installed_in_it() -> None:
    registered()
    App("pager").update(actions=[App.organization_id.set("globex"), App.kind.set("published")])
    shown = succeed("delete", "organization", "acme", "--yes")
    assert "with the addresses of 2 owners" in shown
    assert "- installation in-pager: pager in acme, installed" in shown
    assert left() == {"App": 1, "SigningSecret": 1}
    assert "no organisation 'acme'" in refused("delete", "organization", "acme", "--yes")


def test_an_organisation_that_apps_belong_to_stays() -> None:
    registered()
    said = refused("delete", "organization", "acme", "--yes")
    assert "nothing is deleted: apps belong to acme" in said
    assert "bellhop delete app pager" in said
    assert left()["Organization"] == 1


def test_an_organisation_is_deleted_only_when_that_is_confirmed() -> None:
    registered()
    App("pager").delete()
    assert "nothing is deleted yet: add --yes" in refused("delete", "organization", "acme")
    document = json.loads(succeed("delete", "organization", "acme", "--dry-run", "--json"))
    assert (document["owners"], len(document["installations"])) == (2, 1)
    assert left()["Organization"] == 1


def test_an_organisation_whose_deletion_was_interrupted_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registered()
    App("pager").delete()
    with monkeypatch.context() as patch:
        patch.setattr(Organization, "delete", die)
        assert isinstance(bellhop("delete", "organization", "acme", "--yes").exception, DiedError)
    succeed("delete", "organization", "acme", "--yes")
    assert left() == {"SigningSecret": 1}
