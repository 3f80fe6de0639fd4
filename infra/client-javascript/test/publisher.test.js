import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";

import { SQSClient } from "@aws-sdk/client-sqs";
import { MalformedEventsError, PublishError, Publisher } from "bellhop-client";

// An SQS on loopback, in its JSON protocol; `verdict` says what it rejects, and why.
let calls, verdict, status, server, publisher, slept;

before(async () => {
  server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks));
    assert.equal(request.headers["x-amz-target"], "AmazonSQS.SendMessageBatch");
    calls.push(body);
    const rejected = body.Entries.map((entry) => [entry.Id, verdict(entry)]).filter(([, fault]) => fault);
    const failed = new Set(rejected.map(([id]) => id));
    const sent = body.Entries.filter(({ Id }) => !failed.has(Id)).map(({ Id }) => ({ Id, MessageId: `m-${Id}` }));
    response.writeHead(status, { "content-type": "application/x-amz-json-1.0" });
    const refusal = { __type: "com.amazonaws.sqs#AccessDeniedException", message: "no" };
    response.end(JSON.stringify(
      status === 200 ? { Successful: sent, Failed: rejected.map(([Id, fault]) => ({ Id, ...fault })) } : refusal,
    ));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

after(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  [calls, slept, status, verdict] = [[], [], 200, () => null];
  const endpoint = `http://127.0.0.1:${server.address().port}`;
  const credentials = { accessKeyId: "local", secretAccessKey: "local" };
  const sqs = new SQSClient({ endpoint, region: "us-east-1", credentials, md5: false });
  publisher = new Publisher(`${endpoint}/1/events`, { sqs, sleep: async (wait) => slept.push(wait) });
});

const issue = (event_id, more) => ({ event_id, type: "created", organization_id: "acme", issue: { id: 1 }, ...more });
const issues = (number, more) => Array.from({ length: number }, (_, n) => issue(`e-${n}`, more));

test("events go in batches of ten in the group of their organisation", async () => {
  const outcomes = await publisher.publishAll(issues(25));
  assert.deepEqual(calls.map(({ Entries }) => Entries.length).sort(), [10, 10, 5]);
  const groups = new Set(calls.flatMap(({ Entries }) => Entries.map((entry) => entry.MessageGroupId)));
  assert.deepEqual([...groups], ["acme"]);
  assert.deepEqual(
    outcomes.map(({ position, eventId, messageId, sent }) => [position, eventId, messageId, sent]),
    Array.from({ length: 25 }, (_, n) => [n, `e-${n}`, `m-${n}`, true]),
  );
});

test("a batch has at most 256 KiB", async () => {
  await publisher.publishAll(issues(4, { data: { text: "€".repeat(30_000) } }));
  assert.deepEqual(calls.map(({ Entries }) => Entries.length), [2, 2]);
});

test("a JSON text is sent as it was written", async () => {
  const text = JSON.stringify(issue("e"), null, 3);
  assert.equal(await publisher.publish(text), "m-0");
  assert.equal(calls[0].Entries[0].MessageBody, text);
});

test("what SQS rejects by its own fault is sent again, and nothing else", async () => {
  const rejections = [{ Code: "InternalError", SenderFault: false }];
  verdict = ({ Id }) => (Id === "1" ? rejections.shift() : null);
  const outcomes = await publisher.publishAll(issues(3));
  assert.ok(outcomes.every(({ sent }) => sent));
  assert.deepEqual(calls.map(({ Entries }) => Entries.map(({ Id }) => Id)), [["0", "1", "2"], ["1"]]);
  assert.equal(slept.length, 1);
});

test("what SQS goes on rejecting is given up after four calls", async () => {
  verdict = () => ({ Code: "InternalError", SenderFault: false });
  await assert.rejects(publisher.publish(issue("e-0")), (error) => {
    assert.ok(error instanceof PublishError);
    return error.message === "event e-0: InternalError";
  });
  assert.equal(calls.length, 4);
});

test("a partial failure is reported for each event", async () => {
  verdict = ({ Id }) => (Id === "1" ? { Code: "InvalidParameterValue", Message: "no", SenderFault: true } : null);
  const [sent, failed, next] = await publisher.publishAll(issues(3));
  assert.deepEqual([sent.sent, failed.sent, next.sent], [true, false, true]);
  assert.deepEqual([failed.eventId, failed.reason], ["e-1", "InvalidParameterValue: no"]);
  assert.equal(calls.length, 1);
});

test("a call that fails is the outcome of its events alone", async () => {
  status = 403;
  const outcomes = await publisher.publishAll(issues(2));
  assert.deepEqual(outcomes.map(({ sent, reason }) => [sent, reason]), [[false, "no"], [false, "no"]]);
  assert.ok(outcomes[0].cause instanceof Error);
});

test("none is sent if some break the contract, and every fault is told", async () => {
  await assert.rejects(publisher.publishAll([issue("e"), issue("a b"), {}]), (error) => {
    assert.ok(error instanceof MalformedEventsError);
    assert.deepEqual([...error.faults.keys()], [1, 2]);
    return error.message.startsWith('event [1]: event_id: is "a b", which is no event id');
  });
  assert.deepEqual(calls, []);
});

test("what became of each is told as soon as it is known, and no more is begun once nobody listens", async () => {
  for await (const outcome of publisher.outcomes(issues(200))) {
    assert.ok(outcome.sent);
    break;
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(calls.length <= 8, `${calls.length} calls`);
});

test("nothing is sent of nothing", async () => {
  assert.deepEqual(await publisher.publishAll([]), []);
  assert.deepEqual(calls, []);
});
