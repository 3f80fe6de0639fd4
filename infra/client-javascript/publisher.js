// Sending issue events to the IssueEvents queue: many in a call, each with its own result.

import { MAX_EVENT_BYTES, check, encode } from "./contract.js";

const AT_ONCE = 8; // calls
const MAX_ENTRIES = 10; // of a call
const SENDS = 4; // one, and three more for what SQS rejected by a fault of its own
const BACKOFF_MILLISECONDS = 200; // at most, doubled for each call that was made before

/** Some events break the contract, and none was sent. `faults` has those of each, by its position. */
export class MalformedEventsError extends Error {
  constructor(faults) {
    const told = [...faults].flatMap(([position, found]) => found.map((fault) => `event [${position}]: ${fault}`));
    super(told.join("; "));
    Object.assign(this, { name: "MalformedEventsError", faults });
  }
}

/** SQS did not take an event. It may be sent again: under the same event_id its webhooks are the same. */
export class PublishError extends Error {
  name = "PublishError";
}

/** What became of one event, by its position among those that were given. */
export class Outcome {
  constructor({ position, eventId, messageId = null, reason = "", cause = null }) {
    Object.assign(this, { position, eventId, messageId, reason, cause });
  }

  get sent() {
    return this.messageId !== null;
  }
}

/** Publishes to the queue at `queueUrl`, the stack's output IssueEventsQueueUrl. */
export class Publisher {
  #queueUrl;
  #sqs;
  #sleep;

  constructor(queueUrl, { sqs, sleep = (wait) => new Promise((resolve) => setTimeout(resolve, wait)) } = {}) {
    this.#queueUrl = queueUrl;
    this.#sqs = sqs;
    this.#sleep = sleep;
  }

  /** Sends one event; the id of its queue message. */
  async publish(event) {
    const [outcome] = await this.publishAll([event]);
    if (outcome.sent) return outcome.messageId;
    throw new PublishError(`event ${outcome.eventId}: ${outcome.reason}`, { cause: outcome.cause });
  }

  /** Sends events; what became of each, in their order. */
  async publishAll(events) {
    const outcomes = [];
    for await (const outcome of this.outcomes(events)) outcomes.push(outcome);
    return outcomes.sort((a, b) => a.position - b.position);
  }

  /** The same, and yields what became of each as soon as that is known. When it is left, no more is begun. */
  async *outcomes(events) {
    const messages = messagesOf([...events]);
    const { SQSClient, SendMessageBatchCommand } = await import("@aws-sdk/client-sqs"); // not needed to check
    this.#sqs ??= new SQSClient({});
    const sending = new Set();
    const waiting = batches(messages);
    while (waiting.length || sending.size) {
      while (waiting.length && sending.size < AT_ONCE) {
        const sent = this.#send(waiting.shift(), SendMessageBatchCommand).then((outcomes) => ({ sent, outcomes }));
        sending.add(sent);
      }
      const { sent, outcomes } = await Promise.race(sending);
      sending.delete(sent);
      yield* outcomes;
    }
  }

  /** Sends one batch; what SQS rejects by a fault of its own is sent again, up to SENDS times. */
  async #send(batch, SendMessageBatchCommand) {
    const outcomes = new Map();
    let left = new Map(batch.map((message) => [String(message.position), message]));
    for (let calls = 0; calls < SENDS && left.size; calls += 1) {
      if (calls) await this.#sleep(Math.random() * BACKOFF_MILLISECONDS * 2 ** calls);
      const end = (id, fields) => outcomes.set(id, new Outcome({ ...left.get(id).named, ...fields }));
      let response;
      try {
        const input = { QueueUrl: this.#queueUrl, Entries: [...left].map(([id, { entry }]) => ({ Id: id, ...entry })) };
        response = await this.#sqs.send(new SendMessageBatchCommand(input));
      } catch (error) {
        for (const id of left.keys()) end(id, { reason: error.message || error.name, cause: error });
        break;
      }
      for (const sent of response.Successful ?? []) end(sent.Id, { messageId: sent.MessageId });
      const failed = response.Failed ?? [];
      for (const { Id, Code, Message } of failed) end(Id, { reason: Message ? `${Code}: ${Message}` : Code });
      const again = new Set(failed.filter((each) => !each.SenderFault).map((each) => each.Id));
      left = new Map([...left].filter(([id]) => again.has(id)));
    }
    return outcomes.values();
  }
}

function messagesOf(events) {
  const found = events.map((event, position) => [position, check(event)]).filter(([, faults]) => faults.length);
  if (found.length) throw new MalformedEventsError(new Map(found));
  return events.map((event, position) => {
    const text = encode(event);
    const { event_id: eventId, organization_id: group } = JSON.parse(text);
    const entry = { MessageBody: text, MessageGroupId: group };
    return { position, named: { position, eventId }, entry, size: Buffer.byteLength(text) };
  });
}

/** Messages in runs that one call may carry. */
function batches(messages) {
  const runs = [];
  let size = 0;
  for (const message of messages) {
    const run = runs.at(-1);
    if (!run || run.length === MAX_ENTRIES || size + message.size > MAX_EVENT_BYTES) {
      runs.push([message]);
      size = message.size;
    } else {
      run.push(message);
      size += message.size;
    }
  }
  return runs;
}
