import json
from urllib.request import getproxies_environment, proxy_bypass_environment

import pytest

from bellhop import events
from infra.local.clean_env import shield
from infra.local.demo import EXAMPLE


def test_a_users_profile_and_keys_are_dropped_and_all_else_stays() -> None:
    environ = {"AWS_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "AKIA", "PATH": "/bin"}
    shield(environ)
    assert environ == {"PATH": "/bin", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def test_a_proxy_stands_before_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"HTTP_PROXY": "http://proxy.example:3128", "NO_PROXY": "intern.example"}
    shield(environ)
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, environ[name])
    proxies = getproxies_environment()
    assert proxy_bypass_environment("127.0.0.1:4566", proxies)
    assert not proxy_bypass_environment("pypi.example", proxies)


def test_the_event_that_make_run_suggests_to_publish_is_valid() -> None:
    assert events.parse(EXAMPLE.read_text()).organization_id == "acme"
    assert json.loads(EXAMPLE.read_text())["issue"]["id"]
