// JSON read so that nothing of it is lost: numbers as they were written, members in their order, also twice.

const STRING = /"(?:[^"\\]|\\.?)*(?:"|$)/gs;
const TOKEN = /[ \t\n\r]*(?:("(?:[^"\\]|\\.)*")|(-?\d[0-9.eE+-]*)|(true|false|null)|([[\]{}:,]))/y;
const WORDS = { true: true, false: false, null: null };

/** A number by its text. `whole`: it has neither fraction nor exponent. */
export class Numeral {
  constructor(text) {
    this.text = text;
    this.whole = /^-?\d+$/.test(text);
  }
}

/** An object: a Map, of which a name that is there twice has the last value. `twice` has these names. */
export class Members extends Map {
  twice = new Set();
}

/** Whether more than `limit` arrays and objects of `text` are inside one another; it need not be valid. */
export function deeperThan(text, limit) {
  let level = 0;
  for (const [bracket] of text.replace(STRING, "").matchAll(/[[\]{}]/g)) {
    level += "[{".includes(bracket) ? 1 : -1;
    if (level > limit) return true;
  }
  return false;
}

/** The value of `text`, which is valid JSON and not deep. */
export function read(text) {
  TOKEN.lastIndex = 0;
  const next = () => TOKEN.exec(text);
  return value(next(), next);
}

/** A value as Python's json.dumps writes it. */
export function write(given) {
  if (given instanceof Numeral) return given.text;
  if (given instanceof Members) return `{${[...given].map(([n, v]) => `${JSON.stringify(n)}: ${write(v)}`).join(", ")}}`;
  if (Array.isArray(given)) return `[${given.map(write).join(", ")}]`;
  return JSON.stringify(given);
}

function value([, string, number, word, sign], next) {
  if (string !== undefined) return JSON.parse(string);
  if (number !== undefined) return new Numeral(number);
  if (word !== undefined) return WORDS[word];
  return sign === "{" ? object(next) : array(next);
}

function object(next) {
  const found = new Members();
  for (let token = next(); token[4] !== "}"; token = next()) {
    if (token[4] === ",") token = next();
    const name = JSON.parse(token[1]);
    next(); // the colon
    if (found.has(name)) found.twice.add(name);
    found.set(name, value(next(), next));
  }
  return found;
}

function array(next) {
  const found = [];
  for (let token = next(); token[4] !== "]"; token = next()) {
    if (token[4] === ",") token = next();
    found.push(value(token, next));
  }
  return found;
}
