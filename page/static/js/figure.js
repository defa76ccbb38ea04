// Figures in sentences: each is a number of arch's report or of the plan, and carries where it stands there, so that a reader's tool, or a
// test, finds it again.

import { el } from "./dom.js";
import { t, count } from "./words.js";

// at is the value at a path of a document, "layers/conv1_1/out/h": an item of a list by its name, or by its place.
const at = (document, path) => path.split("/").reduce((o, key) => (Array.isArray(o) ? o.find((i) => i.name === key) ?? o[key] : o?.[key]), document);

// valueOf is the value of a path, or of a product and a quotient of some: "layers/fc5/weights ÷ layers/fc5/out/c", "classes/3/probability × 100".
function valueOf(document, expression) {
  const [first, ...rest] = expression.split(" ");
  const one = (path) => (/^\d+$/.test(path) ? Number(path) : at(document, path));
  let value = one(first);
  for (let i = 0; i < rest.length; i += 2) value = rest[i] === "÷" ? value / one(rest[i + 1]) : value * one(rest[i + 1]);
  return value;
}

// figures makes figures of one document. source is what tells it: "arch", or a path below /v1/inside/ID/.
export const figures = (source, document) => (path, write = count) => {
  const value = valueOf(document, path);
  return el("data", { value, "data-from": `${source}#${path}` }, write(value));
};

// sentence is a sentence of the dictionary with nodes in place of {names}.
export function sentence(key, nodes) {
  const marked = Object.fromEntries(Object.keys(nodes).map((name) => [name, `\u0000${name}\u0000`]));
  return t(key, marked).split("\u0000").flatMap((part, i) => (i % 2 === 0 ? part : copy(nodes[part])));
}

// copy is a node that stands in a sentence more than once, or in more than one.
const copy = (node) => (node instanceof Node ? node.cloneNode(true) : node);
