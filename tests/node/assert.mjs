// As much of node:assert/strict as the cases use, for a page.

const text = (value) => JSON.stringify(value, (_, inner) => (inner === undefined ? "undefined" : inner));

function same(one, other) {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return Object.is(one, other);
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => name in other && same(one[name], other[name]));
}

export default {
  ok(value) {
    if (!value) throw new Error(`not true: ${text(value)}`);
  },
  equal(actual, expected) {
    if (!Object.is(actual, expected)) throw new Error(`${text(actual)} is not ${text(expected)}`);
  },
  deepEqual(actual, expected) {
    if (!same(actual, expected)) throw new Error(`${text(actual)} is not ${text(expected)}`);
  },
  fail(message) {
    throw new Error(message);
  },
};
