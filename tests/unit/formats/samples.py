"""Samples of every message and item, in a folder for each version that wrote them, and how this one reads them.

A sample is a JSON file: `written` is what a version wrote, `read` is what this version makes of it. Its name
begins with the kind, such as `retry.replay`. A message is the JSON of its body; a table's item is as DynamoDB
returns it, with bytes in base64.
"""

import base64
import bz2
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pynamodb.attributes import AttributeContainer
from pynamodb.models import Model

from bellhop import deliveries, digits
from bellhop.attempts import DeliveryRecord
from bellhop.circuits import Circuit, Share, SlowList
from bellhop.handled_events import HandledEvent
from bellhop.index_keys import Entry
from bellhop.large_bodies import LargeBody
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.resend_jobs import ResendJob, ResendPage
from bellhop.secrets import SigningSecret
from bellhop.successes import Delivered
from health import app as health_app
from health import messages
from infra.cli.minute_packs import MinutePack
from notify import continuation

FOLDER = Path(__file__).parent
UNRELEASED = "unreleased"
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("_"))
LAST_RELEASE = [version for version in VERSIONS if version != UNRELEASED][-1]

ITEMS: dict[str, type[Model]] = {
    "organization": Organization,
    "app": App,
    "installation": Installation,
    "audit": AuditEntry,
    "secret": SigningSecret,
    "outcomes": OutcomeDay,
    "attempts": DeliveryRecord,
    "entry": Entry,
    "large_body": LargeBody,
    "resend_job": ResendJob,
    "resend_page": ResendPage,
    "delivered": Delivered,
    "handled_event": HandledEvent,
    "successes": MinutePack,
    "circuit": Circuit,
    "share": Share,
    "slow_list": SlowList,
}


_SCALAR = re.compile(r'\{\n +("(?:S|N|B|BOOL)": .*)\n +\}')  # an attribute's value, on one line


@dataclass(frozen=True, slots=True)
class Sample:
    """What a version wrote under that name."""

    version: str
    name: str

    @property
    def kind(self) -> str:
        return self.name.partition(".")[0]

    @property
    def path(self) -> Path:
        return FOLDER / self.version / f"{self.name}.json"

    @property
    def written(self) -> Any:
        return json.loads(self.path.read_text())["written"]

    @property
    def read(self) -> Any:
        return json.loads(self.path.read_text())["read"]

    def write(self, written: Any) -> None:
        text = json.dumps({"written": written, "read": read(self.kind, written)}, indent=2, ensure_ascii=False)
        self.path.write_text(_SCALAR.sub(r"{ \1 }", text) + "\n")

    def __str__(self) -> str:
        return f"{self.version}/{self.name}"


def samples(version: str) -> list[Sample]:
    names = sorted(path.stem for path in (FOLDER / version).glob("*.json"))
    return [Sample(version, name) for name in names if name != "readers"]


def read(kind: str, written: Any) -> Any:
    """What this version makes of a message or an item, as JSON."""
    return as_json(_READERS[kind](written))


def item(written: dict[str, Any]) -> dict[str, Any]:
    """The item as boto3 returns it."""
    return {n: {k: base64.b64decode(v) if k == "B" else v for k, v in a.items()} for n, a in written.items()}


def as_json(value: Any) -> Any:
    """Objects as JSON that can be compared: compressed bytes as what they hold, as zlib's output may change."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {"is": type(value).__name__} | asdict(value)
    elif isinstance(value, AttributeContainer):
        value = value.attribute_values
    match value:
        case bytes():
            return _text(value)
        case dict():
            return {name: as_json(value[name]) for name in sorted(value) if value[name] is not None}
        case list() | tuple() | set():
            return [as_json(each) for each in (sorted(value) if isinstance(value, set) else value)]
    return value


def comparable(written: Any) -> Any:
    """What was written, with what is compressed in it as text."""
    if isinstance(written, dict):
        return {
            n: _text(base64.b64decode(v)) if n in ("B", "body") and isinstance(v, str) else comparable(v)
            for n, v in written.items()
        }
    return [comparable(each) for each in written] if isinstance(written, list) else written


def _text(compressed: bytes) -> str:
    if compressed.startswith(b"\x01"):  # bodies, with marks
        stream = bz2.BZ2Decompressor()
        return digits.put_back(stream.decompress(compressed[1:]), stream.unused_data).decode()
    if compressed.startswith(b"BZh"):
        return bz2.decompress(compressed).decode()
    try:
        return zlib.decompress(compressed).decode()
    except zlib.error:
        return compressed.decode()


def _model(kind: type[Model], written: Any) -> Any:
    return kind.from_raw_data(item(written))


def _delivery(written: Any) -> Any:
    return deliveries.decode(json.dumps(written))


def _transitions(written: Any) -> Any:
    return messages.decode(json.dumps(written))


def _continuation(written: Any) -> Any:
    return continuation.decode({continuation.ATTRIBUTE: {"stringValue": json.dumps(written)}})


_READERS: dict[str, Callable[[Any], Any]] = {
    "delivery": _delivery,
    "retry": _delivery,
    "trial": _delivery,
    "continuation": _continuation,
    "follow_up": _transitions,
    "replay": _transitions,
    "resend": _transitions,
    "recovery_check": _transitions,
    "retry_sweep": _transitions,
    "app_sweep": _transitions,
    "mail_event": _transitions,
    "stream": health_app._scope,
    **{name: partial(_model, kind) for name, kind in ITEMS.items()},
}
