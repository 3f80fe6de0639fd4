import type { SQSClient } from "@aws-sdk/client-sqs";

/** An event as an object, or its JSON as text. */
export type Event = object | string;

/** What is wrong with one field: the `rule` that it breaks, with what to do; `value`: what is there now. */
export declare class Fault {
  readonly field: string;
  readonly rule: string;
  readonly value: string | null;
  /** What goes on after the field's name, with its value. */
  get reason(): string;
  toString(): string;
}

/** Everything that is wrong with an event; nothing for a valid one. Needs no AWS. */
export declare function check(event: Event): Fault[];

/** Some events break the contract, and none was sent. `faults` has those of each, by its position. */
export declare class MalformedEventsError extends Error {
  readonly faults: ReadonlyMap<number, readonly Fault[]>;
}

/** SQS did not take an event. It may be sent again: under the same event_id its webhooks are the same. */
export declare class PublishError extends Error {}

/** What became of one event, by its position among those that were given. */
export declare class Outcome {
  readonly position: number;
  readonly eventId: string;
  /** The queue message's; null if SQS did not take it. Where SQS did not respond, it may have it all the same. */
  readonly messageId: string | null;
  /** Why SQS did not take it. */
  readonly reason: string;
  /** What was thrown, if anything was. */
  readonly cause: unknown;
  /** Whether SQS has the event. */
  get sent(): boolean;
}

export interface PublisherOptions {
  /** By default one that the SDK makes of the environment. */
  sqs?: SQSClient;
  /** Sleeps for so many milliseconds. */
  sleep?: (milliseconds: number) => Promise<void>;
}

/** Publishes to the queue at `queueUrl`, the stack's output IssueEventsQueueUrl. */
export declare class Publisher {
  constructor(queueUrl: string, options?: PublisherOptions);
  /** Sends one event; the id of its queue message. Rejects with MalformedEventsError or PublishError. */
  publish(event: Event): Promise<string>;
  /** Sends events; what became of each, in their order. Rejects with MalformedEventsError, and then none was sent. */
  publishAll(events: Iterable<Event>): Promise<Outcome[]>;
  /** The same, and yields what became of each as soon as that is known. When it is left, no more is begun. */
  outcomes(events: Iterable<Event>): AsyncGenerator<Outcome, void, void>;
}
