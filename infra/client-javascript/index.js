// For programs that publish issue events: check an event, and send many.

export { Fault, check } from "./contract.js";
export { MalformedEventsError, Outcome, PublishError, Publisher } from "./publisher.js";
