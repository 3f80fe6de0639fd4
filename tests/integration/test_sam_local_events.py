"""The events that are there to be tried by sam local, without its containers."""

import json

import pytest

from infra.local.sam_local_fixture import CHECKS, set_scene
from tests.integration.invoke_function import invoke
from tests.support.tenant import Town

pytestmark = pytest.mark.stack


def test_each_event_of_sam_local_brings_about_what_it_is_there_for(town: Town) -> None:
    with set_scene(town.stack) as scene:
        for check in CHECKS:
            assert invoke(town.stack, check.function, json.loads(check.path.read_text())) == []
            assert check.holds(scene), check.effect
