"""Webhooks are verified by the Standard Webhooks library of another language; `make witness` installs it."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bellhop.secrets import public_key
from deliver.attempt.signing import Keys, headers
from tests.docs.pages import ROOT
from tests.support.fakes import SECRET, delivery
from tests.support.key_pairs import KEY_PAIR, OTHER_PAIR

FOLDER = ROOT / ".venv-node"

# Reads webhooks, one on each line, and says of each what it holds, or why it is refused.
PROGRAM = """
const { Webhook } = require("standardwebhooks");
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const { secret, body, headers } = JSON.parse(line);
  const read = () => new Webhook(secret, { format: "raw" }).verify(body, headers);
  try { console.log(JSON.stringify({ read: read() })); }
  catch (error) { console.log(JSON.stringify({ refused: error.message })); }
}
"""
# The same without a library: Node's own crypto, by the public key.
BY_PUBLIC_KEY = """
const { createPublicKey, verify } = require("crypto");
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const { secret, body, headers } = JSON.parse(line);
  const x = Buffer.from(secret.replace(/^whpk_/, ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const given = headers["webhook-signature"].split(" ").filter((each) => each.startsWith("v1a,"));
  const ours = given.some((each) => verify(null, signed, key, Buffer.from(each.slice(4), "base64")));
  console.log(JSON.stringify(ours ? { read: JSON.parse(body) } : { refused: "no signature" }));
}
"""
BODIES = ["{}", '{"action":"created"}', '{"title":"caf\\u00e9 é 漢字 \U0001f600"}', '{"n":1e5,"deep":[[[]]]}']
NEW = "cd" * 32


@pytest.fixture
def javascript() -> None:
    if not (shutil.which("node") and (FOLDER / "node_modules" / "standardwebhooks").is_dir()):
        pytest.skip("standardwebhooks for JavaScript is not installed: `make witness` does that, with Node.js")


def webhook(body: str, keys: Keys, secret: str, at: float | None = None) -> dict[str, Any]:
    """What the program reads: a webhook signed by `keys`, verified with `secret`."""
    timestamp = int(time.time() if at is None else at)
    made = headers(delivery(body=body.encode()), keys, "r" * 32, timestamp)
    return {"secret": secret, "body": body, "headers": made}


def verified(*webhooks: dict[str, Any], program: str = PROGRAM, folder: Path = FOLDER) -> list[dict[str, Any]]:
    lines = "\n".join(map(json.dumps, webhooks))
    command = ["node", "-e", program]
    run = subprocess.run(command, cwd=folder, input=lines, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_the_javascript_library_verifies_every_webhook(javascript: None) -> None:
    read = verified(*(webhook(body, Keys(SECRET), SECRET) for body in BODIES))
    assert read == [{"read": json.loads(body)} for body in BODIES]


def test_while_two_secrets_overlap_the_javascript_library_verifies_with_each(javascript: None) -> None:
    keys = Keys(NEW, previous=SECRET)
    read = verified(webhook("{}", keys, NEW), webhook("{}", keys, SECRET), webhook("{}", keys, "ef" * 32))
    assert [each.get("read") for each in read] == [{}, {}, None]


def test_the_javascript_library_refuses_a_replay_and_a_changed_body(javascript: None) -> None:
    late = webhook("{}", Keys(SECRET), SECRET, at=time.time() - 3600)
    changed = webhook("{}", Keys(SECRET), SECRET) | {"body": '{"a":1}'}
    assert all("refused" in each for each in verified(late, changed))


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not here")
def test_nodes_own_crypto_verifies_a_key_pairs_signatures(tmp_path: Path) -> None:
    both = Keys(SECRET, previous=KEY_PAIR)
    webhooks = [webhook(body, Keys(KEY_PAIR), public_key(KEY_PAIR)) for body in BODIES]
    others = [webhook("{}", both, public_key(KEY_PAIR)), webhook("{}", both, public_key(OTHER_PAIR))]
    read = verified(*webhooks, *others, program=BY_PUBLIC_KEY, folder=tmp_path)
    assert [each.get("read") for each in read] == [*map(json.loads, BODIES), {}, None]
