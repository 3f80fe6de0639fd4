"""The apps: whether each has a signing secret, without which nothing of it is delivered."""

from collections.abc import Sequence
from dataclasses import dataclass

from bellhop.secrets import SigningSecret
from health.mail.wording import counted
from infra.cli.doctor.findings import Finding, ok, problem
from infra.cli.doctor.looking import Check, Deployed
from infra.cli.views import APPLY_MAKES_ONE, directory, read_items

NAMED = 5  # apps; of more, their number


@dataclass(frozen=True, slots=True)
class Apps:
    """How many apps are registered, and which of them have no signing secret."""

    number: int
    without_secret: Sequence[str]


def read_apps(_: Deployed) -> Apps:
    """Read which apps there are, by the models as they are bound, and of which of them there is a secret.

    Of the secrets only the names of their apps leave the table.
    """
    names = [app.app_id for app in directory()]
    known = {row.app_id for row in read_items(SigningSecret, names, [SigningSecret.app_id.attr_name])}
    return Apps(len(names), [name for name in names if name not in known])


def judge_apps(apps: Apps) -> list[Finding]:
    """Whether what arrives for each app can be signed."""
    lacking = apps.without_secret
    if not lacking:
        return [ok(f"{counted(apps.number, 'app')}, none without a signing secret")]
    more = f" and {len(lacking) - NAMED:,} more" if len(lacking) > NAMED else ""
    text = f"no signing secret, so that all their deliveries become dead letters: {', '.join(lacking[:NAMED])}"
    return [problem(f"{text}{more}", APPLY_MAKES_ONE)]


CHECKS = (Check("secrets", read_apps, judge_apps),)
