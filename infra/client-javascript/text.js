// Text that others wrote, bounded and made safe for a terminal; and a hint at the word that was meant.

const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Zs}]/u;
const JOINED = /[\p{M}\u{1f3fb}-\u{1f3ff}\u200c\u200d]/u;
const REGIONAL = /[\u{1f1e6}-\u{1f1ff}]/u;
const NAMED = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };
const CLOSE = 0.6; // of difflib.get_close_matches

/** `text` for a terminal or a log: each control, invisible or direction-changing character as its escape. */
export function printable(text) {
  return [...text].map((each) => (each !== " " && HIDDEN.test(each) ? escaped(each) : each)).join("");
}

/** `text` cut to `limit` characters, ending in an ellipsis; an emoji or an accented letter stays whole. */
export function cut(text, limit) {
  const all = [...text];
  if (all.length <= limit) return text;
  let end = limit - 1;
  while (end && inside(all, end)) end -= 1;
  return `${all.slice(0, end || limit - 1).join("").trimEnd()}…`;
}

/** A hint at the nearest of the known words, or nothing. */
export function didYouMean(word, known) {
  const rated = known.map((each) => [ratio([...each], [...word]), each]).filter(([close]) => close >= CLOSE);
  rated.sort(([a, first], [b, second]) => b - a || (first < second ? 1 : -1));
  return rated.length ? `; did you mean ${rated[0][1]}?` : "";
}

function escaped(character) {
  const code = character.codePointAt(0);
  const hex = (prefix, digits) => `\\${prefix}${code.toString(16).padStart(digits, "0")}`;
  return NAMED[character] ?? (code < 0x100 ? hex("x", 2) : code < 0x10000 ? hex("u", 4) : hex("U", 8));
}

function inside(all, end) {
  const [before, after] = [all[end - 1], all[end]];
  if (REGIONAL.test(before) && REGIONAL.test(after)) {
    let flags = 0;
    while (flags < end && REGIONAL.test(all[end - 1 - flags])) flags += 1;
    return flags % 2 === 1;
  }
  return JOINED.test(after) || before === "\u200d";
}

/** How alike two words are, from 0 to 1, as difflib's SequenceMatcher has it. */
function ratio(a, b) {
  const length = a.length + b.length;
  if ((2 * Math.min(a.length, b.length)) / length < CLOSE) return 0; // a long name costs nothing
  return (2 * matches(a, b)) / length;
}

function matches(a, b) {
  let [size, atA, atB] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    for (let j = 0; j < b.length; j += 1) {
      let run = 0;
      while (i + run < a.length && j + run < b.length && a[i + run] === b[j + run]) run += 1;
      if (run > size) [size, atA, atB] = [run, i, j];
    }
  }
  if (!size) return 0;
  return matches(a.slice(0, atA), b.slice(0, atB)) + size + matches(a.slice(atA + size), b.slice(atB + size));
}
