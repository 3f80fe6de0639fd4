from typing import Any

import pytest

from bellhop.secrets import SigningSecret
from infra.cli.doctor import apps
from infra.cli.doctor.apps import Apps, judge_apps
from infra.cli.doctor.findings import OK, PROBLEM, Finding
from infra.cli.views import read_items
from tests.support.fakes import SECRET, app
from tests.unit.cli.doctor.fake_deployment import deployed


def found() -> Finding:
    [check] = apps.CHECKS
    [finding] = check.findings(deployed())
    return finding


@pytest.mark.usefixtures("aws")
def test_that_an_app_has_no_signing_secret_was_seen_only_by_whoever_looked_at_it() -> None:
    for name in ("pager", "board"):
        app(app_id=name).save()
        SigningSecret(name, secret=SECRET).save()
    assert (found().state, found().text) == (OK, "2 apps, none without a signing secret")
    SigningSecret("pager").delete()
    assert found().state == PROBLEM
    assert found().text.endswith("become dead letters: pager")
    assert "`bellhop apply FILE`" in found().remedy


@pytest.mark.usefixtures("aws")
def test_no_secret_leaves_its_table_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    app(app_id="pager").save()
    SigningSecret("pager", secret=SECRET).save()
    read: list[SigningSecret] = []

    def noting(*given: Any) -> list[SigningSecret]:
        read.extend(read_items(*given))
        return read

    monkeypatch.setattr(apps, "read_items", noting)
    assert found().state == OK
    assert [row.attribute_values for row in read] == [{"app_id": "pager"}]


def test_of_many_apps_some_are_named() -> None:
    [finding] = judge_apps(Apps(9, [f"app-{number}" for number in range(7)]))
    assert finding.text.endswith("app-3, app-4 and 2 more")
