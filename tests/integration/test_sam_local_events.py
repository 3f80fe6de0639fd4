"""The events for sam local, without its containers."""

import json

import pytest

from infra.local.sam_local_fixture import CHECKS, install_fixture
from tests.integration.invoke_function import invoke
from tests.support.tenant import Tenant

pytestmark = pytest.mark.stack


def test_each_event_for_sam_local_has_its_effect(tenant: Tenant) -> None:
    with install_fixture(tenant.stack) as fixture:
        for check in CHECKS:
            assert invoke(tenant.stack, check.function, json.loads(check.path.read_text())) == []
            assert check.passes(fixture), check.effect
