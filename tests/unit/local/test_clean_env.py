import json
from urllib.request import proxy_bypass

import pytest

from bellhop import events
from infra.local.build import ROOT
from infra.local.clean_env import clean_environment
from infra.local.demo_run import EXAMPLE


def test_a_users_profile_and_keys_are_removed_and_all_else_stays() -> None:
    environ = {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIA", "PATH": "/bin"}
    clean_environment(environ)
    assert environ == {"PATH": "/bin", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def test_a_proxy_is_used_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"HTTP_PROXY": "http://proxy.example:3128", "NO_PROXY": "intern.example"}
    clean_environment(environ)
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, environ[name])
    assert proxy_bypass("127.0.0.1:4566")
    assert not proxy_bypass("pypi.example")


def test_the_event_that_make_run_suggests_to_publish_is_valid() -> None:
    assert events.parse((ROOT / EXAMPLE).read_text()).organization_id == "acme"
    assert json.loads((ROOT / EXAMPLE).read_text())["issue"]["id"]
