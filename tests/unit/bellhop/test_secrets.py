"""What may be secret of an app is never printed with its items."""

import pytest
from pynamodb.models import Model

from bellhop.registry import App
from bellhop.secrets import SigningSecret
from bellhop.tables import ItemUpdate
from tests.support.fakes import SECRET, app

TOKEN = "Bearer hunter2"
HEADERS = {"Authorization": TOKEN}
ROW = SigningSecret("pager", secret=SECRET, previous=SECRET[::-1], headers=HEADERS)


@pytest.mark.parametrize("item", [app(headers=HEADERS), ROW], ids=["app", "secret"])
def test_no_text_of_an_item_has_a_secret_or_a_header(item: Model) -> None:
    for text in (repr(item), str(item), f"{item}", repr([item])):
        assert not [secret for secret in (SECRET, SECRET[::-1], TOKEN) if secret in text]


def test_no_text_of_an_update_has_what_it_writes() -> None:
    actions = [SigningSecret.headers.set(HEADERS), App.headers.remove()]
    assert TOKEN not in repr(ItemUpdate(ROW, actions, SigningSecret.headers == HEADERS))
