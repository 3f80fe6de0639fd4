"""What the documents show is run: the webhook, the receivers, the publisher."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from ruamel.yaml import YAML
from standardwebhooks import Webhook

from bellhop import events, transforms
from bellhop.events import MalformedEventError
from bellhop.secrets import public_key
from deliver.attempt.signing import Keys
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.docs.pages import DOCS, ROOT, blocks, example, name, pages, rows
from tests.docs.receivers import NODE, post, running, write_receiver
from tests.docs.webhook_example import APP_AUTHORS, PUBLISHERS, README, SECRET, STANDARD_SECRET, webhook
from tests.docs.webhook_example import Webhook as Sent
from tests.support import servers
from tests.support.key_pairs import KEY_PAIR

STALE_SECONDS = 3600
KINDS = [
    "standardwebhooks",
    "by hand",
    "by key",
    *(
        pytest.param(kind, marks=pytest.mark.skipif(NODE is None, reason="node is not on the PATH"))
        for kind in ("node", "node by key")
    ),
]


def python_block(page: Path) -> str:
    return next(block.text for block in blocks(page) if block.language == "python")


def load(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "example", "exec"), namespace)
    return namespace


@pytest.fixture(params=KINDS)
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    command = write_receiver(request.param, tmp_path)
    known = public_key(KEY_PAIR) if request.param.endswith("by key") else STANDARD_SECRET
    with running(command, tmp_path, known) as port:
        yield port, tmp_path


def sent(timestamp: int, request_id: str = "1" * 32) -> Sent:
    """The webhook, signed by what any of the receivers knows."""
    return webhook(timestamp, request_id, keys=Keys(SECRET, previous=KEY_PAIR))


def stored(directory: Path) -> list[bytes]:
    """The bodies that a receiver has stored."""
    if (directory / "inbox").is_dir():
        return [path.read_bytes() for path in (directory / "inbox").iterdir()]
    inbox = sqlite3.connect(directory / "inbox.sqlite")
    try:
        return [body for (body,) in inbox.execute("SELECT body FROM webhooks")]
    finally:
        inbox.close()


def test_a_receiver_stores_a_webhook_once_however_often_it_arrives(receiver: tuple[int, Path]) -> None:
    port, directory = receiver
    now = int(time.time())
    first, second = sent(now), sent(now + 1, "2" * 32)
    assert [post(port, each.headers, each.body) for each in (first, second)] == [204, 204]
    assert stored(directory) == [first.body]


def test_a_receiver_refuses_a_webhook_that_was_tampered_with(receiver: tuple[int, Path]) -> None:
    port, directory = receiver
    made = sent(int(time.time()))
    other_id = made.headers | {"webhook-id": "msg_" + "0" * 32}
    assert post(port, made.headers, made.body.replace(b"4711", b"4712")) == 401
    assert post(port, other_id, made.body) == 401
    assert stored(directory) == []


def test_a_receiver_refuses_a_stale_webhook(receiver: tuple[int, Path]) -> None:
    port, directory = receiver
    made = sent(int(time.time()) - STALE_SECONDS)
    assert post(port, made.headers, made.body) == 401
    assert stored(directory) == []


def test_a_receiver_refuses_a_request_without_signature_headers(receiver: tuple[int, Path]) -> None:
    port, directory = receiver
    made = sent(int(time.time()))
    bare = {header: value for header, value in made.headers.items() if not header.startswith("webhook-")}
    assert post(port, bare, made.body) == 401
    assert stored(directory) == []


def test_the_classic_example_verifies_the_raw_body_alone() -> None:
    verify = load(example(APP_AUTHORS, "classic.py"))["verify_classic"]
    sent = webhook()
    signature = sent.headers["Sentry-Hook-Signature"]
    assert verify(SECRET, sent.body, signature)
    assert not verify(SECRET, json.dumps(json.loads(sent.body)).encode(), signature)


@pytest.mark.parametrize("page", [APP_AUTHORS, README], ids=name)
def test_the_webhook_on_the_page_is_what_the_code_makes(page: Path) -> None:
    made = webhook()
    assert example(page, "webhook-headers") == made.header_text()
    assert example(page, "webhook-body") == made.body.decode() + "\n"


def test_the_event_at_a_glance_becomes_the_webhook_beside_it() -> None:
    assert webhook(page=README) == webhook()


def test_every_field_of_a_webhooks_body_is_explained_and_no_other() -> None:
    explained = [row[0].strip("`").partition(".")[0] for row in rows(APP_AUTHORS, "field")]
    assert explained == [*json.loads(webhook().body)]


def test_the_webhook_on_the_page_is_what_goes_over_the_wire() -> None:
    requests: list[bytes] = []

    def respond(connection: socket.socket, over: threading.Event) -> None:
        requests.append(servers.read_request(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    made = webhook()
    headers = {header: value for header, value in made.headers.items() if header != "Content-Length"}
    with servers.serve(respond) as server:
        transport = Transport(EndpointPolicy(http=True, private=True, ports=None), tls_context())
        assert isinstance(transport.post("pager", server.url, headers, made.body, 5), Response)
        transport.close()
    head, _, body = requests[0].decode().partition("\r\n\r\n")
    lines = [line for line in head.split("\r\n")[1:] if not line.startswith("Host: ")]
    assert "\n".join(lines) + "\n" == example(APP_AUTHORS, "webhook-headers")
    assert body + "\n" == example(APP_AUTHORS, "webhook-body")


def test_the_transform_on_the_page_makes_the_body_beside_it_also_of_a_ping_and_without_an_issue() -> None:
    page = DOCS / "operators.md"
    app = YAML(typ="safe", pure=True).load(example(page, "transform"))["apps"]["chat-room"]
    transform = transforms.compiled(app["transform"])
    assert f"`{transform.body(json.loads(webhook().body)).decode()}`" in page.read_text()
    assert transform.body({"action": "test", "data": {"message": "hello"}}) == b'{"text":"test: hello"}'
    assert transform.body({"action": "deleted", "resource": "installation"}) == b'{"text":"deleted: installation"}'


def test_the_secret_on_the_page_is_one_key_in_two_forms() -> None:
    page = APP_AUTHORS.read_text()
    assert SECRET in page
    assert STANDARD_SECRET in page
    sent = webhook(int(time.time()))
    Webhook(STANDARD_SECRET).verify(sent.body, sent.headers)


def test_the_publisher_on_the_page_sends_an_event_that_fits_the_contract(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISSUE_EVENTS_QUEUE_URL", queue)
    source = python_block(PUBLISHERS)
    exec(compile(source, "example", "exec"), {"__name__": "__main__"})
    [message] = boto3.client("sqs").receive_message(
        QueueUrl=queue, MessageSystemAttributeNames=["MessageGroupId"]
    )["Messages"]
    event = events.parse(message["Body"])
    assert message["Attributes"]["MessageGroupId"] == event.organization_id


SDK = """
export class SQSClient {
  async send({ input }) {
    console.log(JSON.stringify(input));
    return { Successful: input.Entries.map(({ Id }) => ({ Id, MessageId: "m1" })) };
  }
}
export class SendMessageBatchCommand { constructor(input) { this.input = input; } }
"""


@pytest.mark.skipif(NODE is None, reason="node is not on the PATH")
def test_the_javascript_publisher_on_the_page_sends_the_event_in_its_organisations_group(tmp_path: Path) -> None:
    assert NODE
    package = tmp_path / "node_modules" / "@aws-sdk" / "client-sqs"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "main": "index.js"}')
    (package / "index.js").write_text(SDK)
    shutil.copytree(ROOT / "infra" / "client-javascript", tmp_path / "node_modules" / "bellhop-client")
    source = next(block.text for block in blocks(PUBLISHERS) if block.language == "javascript")
    event = next(block.text for block in blocks(PUBLISHERS) if block.language == "json")
    (tmp_path / "publish.mjs").write_text(f"{source}\nawait publish({event});\n")
    environment = os.environ | {"ISSUE_EVENTS_QUEUE_URL": "https://queue.example/1"}
    done = subprocess.run(
        [NODE, "publish.mjs"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    sent = json.loads(done.stdout)
    assert sent["QueueUrl"] == "https://queue.example/1"
    [entry] = sent["Entries"]
    assert entry["MessageGroupId"] == events.parse(entry["MessageBody"]).organization_id


def test_every_event_in_the_documents_fits_the_contract() -> None:
    found = 0
    for page in pages():
        for block in blocks(page):
            if block.language == "json" and '"event_id"' in block.text and block.label != "webhook-body":
                events.parse(block.text)
                found += 1
    assert found >= 2


def test_every_json_block_in_the_documents_is_json() -> None:
    for page in pages():
        for block in blocks(page):
            if block.language == "json":
                assert json.loads(block.text), name(page)


def test_every_field_of_the_contract_is_explained_and_no_other() -> None:
    schema = json.loads((ROOT / "functions" / "bellhop" / "schema" / "issue-event.json").read_text())
    explained = [row[0].strip("`") for row in rows(PUBLISHERS, "field")]
    assert explained == [
        "event_id", "resource", "type", "organization_id", "installation_id",
        "project_id", "occurred_at", "user", "issue", "data",
    ]  # fmt: skip
    assert set(explained) == set(schema["properties"])


def test_every_resource_and_type_of_the_contract_is_listed() -> None:
    schema = json.loads((ROOT / "functions" / "bellhop" / "schema" / "issue-event.json").read_text())
    listed = {row[0]: row[1].replace("`", "").split(", ") for row in rows(PUBLISHERS, "resource")}
    of_contract = {}
    for rule in schema["allOf"]:
        resource = rule["if"]["properties"]["resource"]["const"]
        of_contract[f"`{resource}`"] = rule["then"]["properties"]["type"]["enum"]
    assert listed == of_contract


@pytest.mark.parametrize("row", list(rows(PUBLISHERS, "change")), ids=lambda row: row[0])
def test_a_malformed_event_is_refused_with_the_reason_on_the_page(row: list[str]) -> None:
    event = json.loads(next(block.text for block in blocks(PUBLISHERS) if block.language == "json"))
    with pytest.raises(MalformedEventError) as refused:
        events.parse(json.dumps(event | json.loads(row[0].strip("`"))))
    assert (refused.value.field, refused.value.reason) == (row[1].strip("`"), row[2])


def test_every_reason_to_skip_an_event_is_explained() -> None:
    files = (ROOT / "functions" / "notify" / "fanout.py", ROOT / "functions" / "bellhop" / "subscription.py")
    source = "".join(file.read_text() for file in files)
    explained = {reason.strip("` ") for row in rows(PUBLISHERS, "reason") for reason in row[0].split(",")}
    in_code = {reason for reason in explained if f'"{reason}"' in source}
    statuses = {"installation_pending", "installation_uninstalled"}
    assert explained - in_code == statuses
    assert 'f"installation_{installation.status}"' in source
