import { SQSClient } from "@aws-sdk/client-sqs";
import { Fault, MalformedEventsError, Outcome, Publisher, check } from "bellhop-client";

const publisher = new Publisher("https://queue.example/1", { sqs: new SQSClient({}) });
const faults: Fault[] = check({ event_id: "e" });
const reasons: string[] = faults.map((fault) => `${fault.field} ${fault.reason} ${fault.value ?? ""}`);

export async function publish(event: object): Promise<string> {
  try {
    const outcomes: Outcome[] = await publisher.publishAll([event, "{}"]);
    for await (const outcome of publisher.outcomes(outcomes)) if (!outcome.sent) reasons.push(outcome.reason);
    return await publisher.publish(event);
  } catch (error) {
    if (error instanceof MalformedEventsError) return String(error.faults.get(0)?.length);
    throw error;
  }
}
