// Every number of the network, as vggo arch --json tells it, and how each is worked out, in its formulas.

import * as api from "./api.js";
import { byID, el, calm } from "./dom.js";
import { t, has, count, percent, bytes, size } from "./words.js";
import { operation } from "./names.js";
import { state, when, rows, kinds } from "./state.js";
import { choose, go } from "./address.js";

// columns are the quantities of a layer: their path in its JSON, and how they are written.
const columns = [
  ["size", "out", size],
  ["weights", "weights", count],
  ["biases", "biases", count],
  ["macs", "macs_per_image", count],
  ["memory", "activation_bytes", bytes],
  ["intensity", "flops_per_byte", (x) => x.toFixed(1)],
  ["field", "field", (f) => (f.h.size === f.w.size ? count(f.h.size) : `${count(f.h.size)}×${count(f.w.size)}`)],
];

// quantities of the whole network.
const totals = [
  ["parameters", "total.parameters", count],
  ["macs", "total.macs_per_image", count],
  ["weighted", "total.weighted_layers", count],
  ["infer", "memory.infer_bytes", bytes],
  ["train", "memory.train_bytes", bytes],
];

export function startTable() {
  when("report language", () => {
    table();
    sums();
  });
  when("layer", mark);
  byID("formula").addEventListener("click", (event) => {
    if (event.target === event.currentTarget) event.currentTarget.close(); // beside it
  });
}

const at = (object, path) => path.split(".").reduce((o, key) => o?.[key], object);

// number is a number of the report as a button that tells how it came about. data-path and data-value are arch's own.
function number(layer, quantity, path, write, source) {
  const value = at(source, path);
  const blank = value === 0 || value === undefined;
  if (blank && quantity !== "parameters") return el("span", { class: "blank", "data-layer": layer, "data-path": path, "data-value": "0" }, "");
  const plain = typeof value === "object" ? JSON.stringify(value) : String(value);
  return el("button", {
    type: "button", class: "number", "data-layer": layer, "data-path": path, "data-value": plain, "data-show": quantity,
    "aria-haspopup": "dialog", onclick: () => explain(layer, quantity),
  }, write(value));
}

// numberOf is one of a layer's numbers, for other parts of the page.
export function numberOf(row, quantity) {
  const [, path, write] = columns.find(([q]) => q === quantity);
  return number(row.name, quantity, path, write, row);
}

function table() {
  const { report } = state;
  if (!report) return;
  const head = el("tr", {}, el("th", { scope: "col" }, t("col.layer")), el("th", { scope: "col" }, t("col.operation")),
    columns.map(([q]) => el("th", { scope: "col", class: "figure" }, t(`col.${q}`))));
  const body = rows(report).map((row) =>
    el("tr", { "data-row": row.name },
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => { choose(row.name); go("layer"); } }, row.name)),
      el("td", {}, operation([row, ...row.after].map((l) => l.operation).join(", "))),
      columns.map(([q, path, write]) => el("td", { class: "figure" }, number(row.name, q, path, write, row)))));
  const foot = el("tr", {}, el("th", { scope: "row" }, t("col.total")), el("td", {}),
    el("td", {}),
    ...[["weights", "total.weights", count], ["biases", "total.biases", count], ["macs", "total.macs_per_image", count], ["activations", "total.activation_bytes", bytes],
      ["intensity", "total.flops_per_byte", (x) => x.toFixed(1)]].map(([q, path, write]) => el("td", { class: "figure" }, number("", q, path, write, report))),
    el("td", {}));
  byID("table").replaceChildren(el("caption", { class: "unseen" }, `${report.network}, ${size(report.input)}`), el("thead", {}, head), el("tbody", {}, body), el("tfoot", {}, foot));
  mark();
}

function sums() {
  const { report } = state;
  if (!report) return;
  byID("totals").replaceChildren(...totals.map(([q, path, write]) =>
    el("div", {}, number("", q, path, write, report), el("span", { class: "what" }, t(`total.${q}`)))));
}

function mark() {
  for (const row of byID("table").querySelectorAll("[data-row]")) row.classList.toggle("chosen", row.dataset.row === state.layer);
}

// openNumber shows a number where the address asks for it.
export function openNumber(layer, quantity) {
  const { report } = state;
  const row = rows(report).find((r) => r.name === layer || r.after.some((a) => a.name === layer));
  if (quantity === "parameters" && row) quantity = "weights";
  byID("numbers").open = true;
  const found = document.querySelector(`#network [data-show="${CSS.escape(quantity)}"][data-layer="${CSS.escape(row?.name ?? "")}"]`);
  if (!found) return go("network");
  found.scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "center", inline: "center" });
  found.focus({ preventScroll: true });
  explain(row?.name ?? "", quantity);
}

// lines are what a number is made of: the rule in words, arch's formula with the numbers in place, and notes.
function lines(layer, quantity) {
  const { report } = state;
  if (!layer) return totalLines(report, quantity);
  const row = rows(report).find((r) => r.name === layer);
  const f = row.formulas;
  const exact = (n) => t("formula.exact", { n: count(n) });
  switch (quantity) {
    case "size": return [f.size, has(`formula.size.${kinds[row.kind]}`) && t(`formula.size.${kinds[row.kind]}`, { c: row.out.c })];
    case "weights": return [f.weights];
    case "biases": return [t(row.kind === "linear" ? "formula.biases.outputs" : "formula.biases.one", { n: count(row.biases), c: row.out.c })];
    case "macs": return [f.macs, t("formula.macs.flops", { n: count(row.flops_per_image) })];
    case "memory": return [f.activations, exact(row.activation_bytes)];
    case "intensity": return [f.intensity];
    case "field": return [f.field || row.after.map((a) => a.formulas.field).filter(Boolean).join(", "), jump(row)];
  }
  return [];
}

// jump says how far neighbours' fields lie apart, where there are neighbours and each has the same distance.
function jump(row) {
  const { h, w } = row.field;
  if (row.out.h * row.out.w === 1) return "";
  const both = (a, b) => (a === b ? String(a) : `${a}×${b}`);
  return t("formula.field.jump", { jump: both(h.jump, w.jump), offset: both(h.offset, w.offset) });
}

function totalLines(report, quantity) {
  const { total, memory } = report;
  const sum = (parts, whole) => `${parts.map(count).join(" + ")} = ${count(whole)}`;
  switch (quantity) {
    case "parameters":
    case "weights":
    case "biases": return [sum([total.weights, total.biases], total.parameters), ...byKind(report, "weights", total.weights), ...most(report)];
    case "macs": return [...byKind(report, "macs_per_image", total.macs_per_image), t("formula.macs.flops", { n: count(total.flops_per_image) })];
    case "infer": return [sum([memory.parameter_bytes, memory.infer_activation_bytes], memory.infer_bytes)];
    case "train": return [sum([memory.parameter_bytes, memory.train_activation_bytes, memory.train_parameter_gradient_bytes, memory.train_activation_gradient_bytes], memory.train_bytes)];
    case "activations": return [t("formula.exact", { n: count(total.activation_bytes) })];
  }
  return [];
}

// byKind says how a total falls on kinds of layers.
function byKind(report, quantity, total) {
  const sums = new Map();
  for (const l of report.layers) if (l[quantity]) sums.set(l.kind, (sums.get(l.kind) ?? 0) + l[quantity]);
  return [...sums].map(([kind, n]) => t("formula.kind", { kind: t(`kind.${kinds[kind]}`), quantity: t(`kindof.${quantity}`), n: count(n), share: percent(n / total) }));
}

// most says which layer has the most weights, and how they are counted.
function most({ layers, total }) {
  const all = layers.filter((l) => l.weights);
  const weights = Math.max(...all.map((l) => l.weights));
  const layer = all.find((l) => l.weights === weights);
  return layer ? [t("formula.most", { layer: layer.name, share: percent(weights / total.weights), formula: layer.formulas.weights }), t(ruleOf("weights", layer.kind))] : [];
}

// ruleOf names the rule of a layer's quantity in words, its kind's own where it has one.
const ruleOf = (quantity, kind) => (has(`rule.${quantity}.${kind}`) ? `rule.${quantity}.${kind}` : `rule.${quantity}`);

// way adds the arithmetic from a layer down to the pixels, where the network has a name to ask for it by.
async function way(dialog, layer) {
  const { source } = state;
  if (source.build) return;
  const told = await api.field(source.network, { layer, input: source.input });
  if (dialog.dataset.layer !== layer || dialog.dataset.show !== "field" || !told.way?.length) return;
  dialog.querySelector("form").before(el("details", {}, el("summary", {}, t("field.how")), el("ol", { class: "way" }, told.way.map((w) => el("li", {}, `${w.name}: `, el("code", {}, w.formula))))));
}

// explain opens the formula of a number.
function explain(layer, quantity) {
  const dialog = byID("formula");
  const own = layer ? ruleOf(quantity, rows(state.report).find((r) => r.name === layer).kind) : `rule.total.${quantity}`;
  const button = document.querySelector(`#network [data-show="${CSS.escape(quantity)}"][data-layer="${CSS.escape(layer)}"]`);
  dialog.dataset.layer = layer;
  dialog.dataset.show = quantity;
  dialog.replaceChildren(
    el("h2", { id: "formula-title" }, layer ? `${layer}: ${t(`col.${quantity}`)}` : t(`total.${quantity}`)),
    el("p", { class: "big" }, button?.textContent ?? ""),
    el("p", {}, t(own)),
    ...lines(layer, quantity).filter(Boolean).map((line, i) => el("p", { class: i === 0 && /[=]/.test(line) ? "formula" : "note" }, line)),
    el("form", { method: "dialog" }, el("button", { class: "primary", autofocus: true }, t("close"))));
  if (!dialog.open) dialog.showModal();
  if (quantity === "field") way(dialog, layer).catch(api.complain);
}
