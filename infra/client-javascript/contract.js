// What is wrong with an issue event, in plain words, all of it at once.
//
// The contract is the published JSON Schema, of which this understands the keywords that it has. The client for Python
// says the same in the same words; tests hold both to one table of events.

import { readFileSync } from "node:fs";

import { Members, Numeral, deeperThan, read, write } from "./json.js";
import { cut, didYouMean, printable } from "./text.js";

export const MAX_EVENT_BYTES = 262_144;

const SCHEMA = JSON.parse(readFileSync(new URL("issue-event.json", import.meta.url), "utf8"));
const MAX_DEPTH = 64; // arrays and objects inside one another
const MAX_INTEGER_DIGITS = 308; // a longer integer is beyond a double
const NESTED = ["user", "issue", "data"]; // the objects in which no name may be there twice
const SHOWN = 60; // characters of a value in a message
const BODY = "body"; // the field, where the whole event is meant
const TYPES = {
  string: ["a text", (value) => typeof value === "string"],
  integer: ["a whole number", (value) => value instanceof Numeral && value.whole],
  object: ["an object ({...})", (value) => value instanceof Members],
  null: ["null", (value) => value === null],
};
// The day must exist in its month, and 29 February only in a leap year.
const LONG_MONTH = "(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])";
const SHORT_MONTH = "(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8])";
const LEAP_DAY = "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29";
const DATE_TIME = new RegExp(
  `^(?:\\d{4}-(?:${LONG_MONTH}|${SHORT_MONTH})|${LEAP_DAY})` +
    "[tT](?:[01]\\d|2[0-3]):[0-5]\\d:(?:[0-5]\\d|60)(?:\\.\\d+)?(?:[+-](?:[01]\\d|2[0-3]):?[0-5]\\d|[zZ])$",
);
const MISSING = {
  event_id: "add an id that is unique within the organisation",
  organization_id: "add the id of the organisation whose apps get it",
  type: "add what happened, such as created",
  issue: "add the issue, with its id",
};
const LONE_SURROGATE = /\p{Cs}/u;

/** What is wrong with one field: the `rule` that it breaks, with what to do; `value`: what is there now. */
export class Fault {
  constructor(field, rule, value = null) {
    Object.assign(this, { field, rule, value });
  }

  get reason() {
    return this.value === null ? this.rule : `is ${this.value}, which ${this.rule}`;
  }

  toString() {
    return `${this.field}: ${this.reason}`;
  }
}

class Unreadable extends Error {
  constructor(field, reason) {
    super(reason);
    this.fault = new Fault(field, reason);
  }
}

/** Everything that is wrong with an event, given as an object or as JSON; nothing for a valid one. */
export function check(event) {
  let document;
  try {
    document = decode(encode(event));
  } catch (error) {
    if (error instanceof Unreadable) return [error.fault];
    throw error;
  }
  if (!(document instanceof Members)) {
    return [new Fault(BODY, "is not an object; write each event as {...}", shown(document))];
  }
  const found = new Map(); // further faults of a field follow from its first
  for (const fault of [...repeated(document), ...faults(document, SCHEMA, "")]) {
    if (!found.has(fault.field)) found.set(fault.field, fault);
  }
  return [...found.values()];
}

/** The event as JSON, which is the body of its queue message; a text is one already. */
export function encode(event) {
  if (typeof event === "string") return event;
  try {
    return JSON.stringify(event, (_, value) => {
      // JSON.stringify would write null in their place.
      if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} is not a JSON number`);
      return value;
    }) ?? "null";
  } catch (error) {
    throw new Unreadable(BODY, `cannot be written as JSON: ${cut(printable(error.message), SHOWN)}`);
  }
}

function decode(text) {
  const size = Buffer.byteLength(text);
  if (size > MAX_EVENT_BYTES) throw new Unreadable(BODY, `has ${size} bytes; at most ${MAX_EVENT_BYTES} are allowed`);
  if (deeperThan(text, MAX_DEPTH)) {
    throw new Unreadable(BODY, `is nested more than ${MAX_DEPTH} deep; the schema needs only a few levels`);
  }
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Unreadable(BODY, `is not JSON: ${cut(printable(error.message), 2 * SHOWN)}`);
  }
  const document = read(text);
  checkNumbers(document);
  if (unencodable(document)) {
    const [field = BODY] = document instanceof Members ? [...document].find(unencodable) : [];
    throw new Unreadable(printable(field), "has a character that UTF-8 cannot encode (a lone surrogate)");
  }
  return document;
}

function checkNumbers(value) {
  if (value instanceof Numeral) {
    const digits = value.text.replace("-", "").length;
    if (value.whole && digits > MAX_INTEGER_DIGITS) {
      const reason = `an integer has ${value.text.length} digits; receivers can read ${MAX_INTEGER_DIGITS} at most`;
      throw new Unreadable(BODY, `is not JSON: ${reason}`);
    }
    if (!Number.isFinite(Number(value.text))) {
      const reason = `${value.text.slice(0, 64)} is beyond the numbers that receivers can read (IEEE 754 doubles)`;
      throw new Unreadable(BODY, `is not JSON: ${reason}`);
    }
  } else {
    for (const inner of inside(value)) checkNumbers(inner);
  }
}

function unencodable(value) {
  if (typeof value === "string") return LONE_SURROGATE.test(value);
  return [...(value instanceof Members ? value.keys() : []), ...inside(value)].some(unencodable);
}

function inside(value) {
  return value instanceof Members ? [...value.values()] : Array.isArray(value) ? value : [];
}

function* repeated(document) {
  for (const name of document.twice) yield twice(name);
  for (const path of NESTED) {
    const inner = document.get(path);
    for (const name of inner instanceof Members ? inner.twice : []) yield twice(`${path}.${name}`);
  }
}

function twice(field) {
  return new Fault(bounded(field) || BODY, "is there twice; write it once");
}

function* faults(value, schema, path) {
  const allowed = [schema.type ?? []].flat();
  if (allowed.length && !allowed.some((name) => TYPES[name][1](value))) {
    const words = allowed.map((name) => TYPES[name][0]).join(" or ");
    const hint = value instanceof Numeral && allowed.includes("string") ? "; write it in quotes" : "";
    yield new Fault(path || BODY, `is not ${words}${hint}`, shown(value));
  } else if (value instanceof Members) {
    yield* objectFaults(value, schema, path);
  } else {
    yield* valueFaults(value, schema, path);
  }
}

function* objectFaults(value, schema, path) {
  const properties = schema.properties ?? {};
  for (const name of schema.required ?? []) {
    if (!value.has(name)) yield new Fault(within(path, name), `is missing; ${MISSING[name] ?? "add it"}`);
  }
  for (const [name, inner] of value) {
    if (Object.hasOwn(properties, name)) {
      yield* faults(inner, properties[name], within(path, name));
    } else if (schema.additionalProperties === false) {
      const known = Object.keys(properties);
      const hint = didYouMean(name, known.filter((each) => !value.has(each)));
      const rule = `is not known; known are ${known.join(", ")}${hint || "; further fields go into `data`"}`;
      yield new Fault(bounded(within(path, name)) || BODY, rule);
    }
  }
  for (const rule of schema.allOf ?? []) {
    if ([...faults(value, rule.if, path)].length === 0) yield* faults(value, rule.then, path);
  }
}

function* valueFaults(value, schema, path) {
  const options = schema.const === undefined ? (schema.enum ?? []) : [schema.const];
  if (options.length && !options.includes(value)) {
    const hint = typeof value === "string" ? didYouMean(value, options) : "";
    yield new Fault(path, `is none of ${options.join(", ")}${hint}`, shown(value));
  }
  const rule = typeof value === "string" ? textFault(value, schema) : null;
  if (rule) yield new Fault(path, rule, shown(value));
}

function textFault(value, schema) {
  const length = [...value].length;
  if (schema.pattern && !new RegExp(schema.pattern).test(value)) return schema.patternErrorMessage;
  if (length < (schema.minLength ?? 0) || length > (schema.maxLength ?? length)) {
    return `has ${length} characters; use ${schema.minLength} to ${schema.maxLength}`;
  }
  const wrong = schema.format === "date-time" && !DATE_TIME.test(value);
  return wrong ? "is no time with a time zone; write it as 2026-11-23T12:00:00Z" : null;
}

function within(path, name) {
  return path ? `${path}.${name}` : name;
}

function bounded(field) {
  return cut(printable(field), SHOWN);
}

/** A value as it is written in JSON, bounded, without what a terminal would obey. */
function shown(value) {
  return cut(printable(write(value)), SHOWN);
}
