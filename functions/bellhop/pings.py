"""Pings: deliveries that test whether an app's endpoint responds, also while the app is off."""

import json
from datetime import datetime

from bellhop import deliveries, transforms
from bellhop.clock import rfc3339
from bellhop.deliveries import Delivery
from bellhop.expressions import ExpressionError
from bellhop.registry import App

EVENT = "ping.test"

_ACTOR = {"type": "application", "id": "bellhop", "name": "Bellhop"}
_MESSAGE = "Bellhop is testing this endpoint. Nothing happened; please respond with any 2xx status."


def make(app: App, token: str, now: datetime) -> Delivery:
    """A ping of `app`, whose time is `now`; its record is under the delivery's id.

    Of two with the same `token` only one is sent.
    """
    organization_id, event_id = app.organization_id or "", f"ping_{token}"
    return Delivery(
        delivery_id=deliveries.delivery_id(organization_id, event_id, app.app_id),
        event_id=event_id,
        event=EVENT,
        app_id=app.app_id,
        organization_id=organization_id,
        installation_id=app.app_id,  # it concerns the app itself, not one installation
        body=_body(app, event_id, now),
        ping=True,
    )


def _body(app: App, event_id: str, now: datetime) -> bytes:
    resource, _, action = EVENT.partition(".")
    body = {
        "action": action,
        "installation": {"uuid": app.uuid},
        "data": {"message": _MESSAGE},
        "actor": _ACTOR,
        "event_id": event_id,
        "resource": resource,
        "occurred_at": rfc3339(now),
        "organization_id": app.organization_id,
        "project_id": None,
    }
    try:
        if app.transform:
            return transforms.compiled(app.transform).body(body)
    except ExpressionError:
        pass  # it was made for events: the endpoint is tested all the same
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
