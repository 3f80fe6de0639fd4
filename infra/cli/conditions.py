"""How some apps stand, all read together."""

from collections.abc import Collection
from datetime import datetime

from bellhop import circuits
from bellhop.circuits import Circuit
from bellhop.registry import App
from infra.cli.condition import Condition, condition


def read(app_ids: Collection[str], now: datetime) -> tuple[dict[str, App], dict[str, Condition]]:
    """The apps that are registered, and how each stands."""
    names = sorted(app_ids)
    apps = {app.app_id: app for app in App.batch_get(names)} if names else {}
    rows = {row.app_id: row for row in Circuit.batch_get([*apps])} if apps else {}
    slow = circuits.slow_list().names if apps else frozenset()
    return apps, {
        name: condition(app, rows.get(name) or Circuit(name), slow, now.timestamp()) for name, app in apps.items()
    }
