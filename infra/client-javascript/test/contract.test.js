import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { check } from "bellhop-client";

// The events that the client for Python is held to as well.
const TABLE = JSON.parse(readFileSync(process.env.CONTRACT_EVENTS, "utf8"));
const told = (event) => check(event).map(String);

for (const { name, event, text, faults } of TABLE) {
  test(`${name} is judged as the client for Python judges it`, () => {
    assert.deepEqual(told(text ?? event), faults);
    if (event) assert.deepEqual(told(JSON.stringify(event)), faults);
  });
}

test("what cannot be read has one fault", () => {
  for (const text of ["", "{", "NaN", '{"a": 1,}', "'a'", "x".repeat(300_000)]) assert.equal(check(text).length, 1, text);
  assert.match(told("{")[0], /^body: is not JSON: /);
  assert.match(told("x".repeat(300_000))[0], /^body: has 300000 bytes; at most 262144 are allowed$/);
});

test("what JSON.stringify would write as null, or not at all, is named", () => {
  assert.deepEqual(told({ data: { n: NaN } }), ["body: cannot be written as JSON: NaN is not a JSON number"]);
  assert.match(told({ data: { n: 1n } })[0], /^body: cannot be written as JSON: /);
  const around = {};
  around.self = around;
  assert.match(told(around)[0], /^body: cannot be written as JSON: /);
  assert.equal(check(undefined).length, 1);
});

test("a fault has its field, rule and value", () => {
  const [fault] = check({ event_id: "a b", type: "created", organization_id: "o", issue: { id: 1 } });
  assert.deepEqual({ ...fault }, {
    field: "event_id",
    rule: "is no event id; use 1 to 64 of A-Z, a-z, 0-9, - and _",
    value: '"a b"',
  });
});
