// The pinned number of a map, worked out with the real numbers: window times kernel, tap by tap, then over all input maps, bias, batch
// norm, ReLU. What each kind of layer computes is the server's to say; here it is written down.

import * as api from "./api.js";
import { byID, el, later } from "./dom.js";
import { t, count, real } from "./words.js";
import { state, when, groupOf } from "./state.js";
import { again } from "./picture.js";

let asking = new AbortController();
let cell = null;
let listing = false; // whether the list of what input maps add is open
let tap = -1; // how far the first sum is stepped through; -1: all of it

export function startCell() {
  const soon = later(60, () => ask());
  when("cell", () => {
    asking.abort(); // what comes now is of another cell, and would choose its input map again
    soon();
  });
}

export function showCell() {
  asking.abort();
  cell = null;
  byID("cell").replaceChildren(el("h3", {}, t("cell.title")));
}

async function ask() {
  if (!state.visit || !state.pinned || !byID("cell")) return; // another layer was chosen meanwhile
  asking.abort();
  asking = new AbortController();
  const { layer, channel } = state;
  try {
    cell = await api.cell(state.visit.id, { layer, channel, y: state.cell.y, x: state.cell.x, in: state.input < 0 ? undefined : state.input }, asking.signal);
    if (cell.sums) state.input = cell.in;
    tap = -1;
    const held = byID("cell")?.contains(document.activeElement) ? document.activeElement.id : "";
    draw(held); // new buttons stand where the old ones had the focus
  } catch (error) {
    if (error.kind === "not_found") await again();
    else api.complain(error);
  }
}

const from = () => (cell.from ? t("cell.from.layer", { layer: cell.from }) : t("cell.from.picture"));

function draw(focus) {
  const box = byID("cell");
  if (!box || !cell) return;
  const parts = [el("h3", {}, t("cell.title"))];
  if (cell.layers.length > 1) parts.push(el("p", { class: "note" }, t("cell.together", { layers: cell.layers.join(", ") })));
  if (!cell.worked) parts.push(el("p", {}, t("cell.plain")));
  else if (cell.sums) parts.push(...conv());
  else if (cell.kind === "l2pool") parts.push(...l2pool());
  else if (cell.window) parts.push(...pool());
  else if (cell.terms) parts.push(...linear());
  else if (cell.lrn) parts.push(...lrn());
  else if (cell.source) parts.push(el("p", { class: "note" }, t(cell.kind === "flatten" ? "cell.flatten" : "cell.source", { from: from(), ...place() })));
  if (cell.softmax) parts.push(el("p", { class: "formula" }, `exp(${real(cell.source.value, 5)} − ${real(cell.softmax.max, 5)}) / ${real(cell.softmax.sum, 5)} = ${real(cell.result, 5)}`));
  if (cell.kind === "sigmoid") parts.push(el("p", { class: "formula" }, `1 / (1 + exp(−${real(cell.source.value, 5)})) = ${real(cell.result, 5)}`));
  parts.push(ending());
  box.replaceChildren(...parts);
  if (focus) byID(focus)?.focus();
}

const place = () => ({ in: cell.source.channel, y: cell.source.y, x: cell.source.x, value: real(cell.source.value, 6) });

// grid is a window's numbers; lit is the tap in the light.
const grid = (values, label, lit, write = (v) => real(v, 3)) =>
  el("div", { class: "scroll" }, el("table", { class: "grid" }, el("caption", {}, label), el("tbody", {}, values.map((row, r) =>
    el("tr", {}, row.map((v, q) => el("td", { class: `${r * row.length + q === lit ? "lit" : ""}${v === null ? " padding" : ""}` }, v === null ? t("cell.padding") : write(v))))))));

// where says where the window lies, and how far its places are apart.
function where(words) {
  const { top, left, dilation } = cell.window;
  const apart = dilation.h > 1 || dilation.w > 1 ? t("cell.apart", { h: dilation.h, w: dilation.w }) : "";
  return el("p", { class: "note" }, t(words, { from: from(), in: cell.sums ? cell.in : cell.channel, top, left }) + apart);
}

// stepper has the buttons that go through n places of a window one by one.
function stepper(n) {
  const to = (at, focus) => () => { tap = at; draw(focus); };
  return el("div", { class: "row" },
    el("button", { type: "button", id: "tap-first", onclick: to(0, "tap-next") }, t("cell.step")),
    el("button", { type: "button", id: "tap-next", disabled: tap < 0 || tap >= n - 1, onclick: () => to(tap + 1, tap + 1 >= n - 1 ? "tap-first" : "tap-next")() }, t("cell.next")),
    el("button", { type: "button", id: "tap-all", disabled: tap < 0, onclick: to(-1, "tap-first") }, t("cell.all")));
}

const tapLine = (line) => el("p", { class: "formula", id: "tap-line", "aria-live": "polite" }, line);

function conv() {
  const share = cell.sums[cell.in - cell.first_in];
  const parts = [];
  if (cell.patch) {
    const taps = cell.weights.flatMap((row, r) => row.map((w, q) => ({ w, x: cell.patch[r][q] ?? 0 })));
    const last = tap < 0 ? taps.length - 1 : tap;
    const sum = taps.slice(0, last + 1).reduce((s, { w, x }) => s + w * x, 0);
    const now = taps[last];
    parts.push(where(cell.from ? "cell.window" : "cell.window.picture"), product(), stepper(taps.length),
      tapLine(tap < 0
        ? `${taps.slice(0, 3).map(({ w, x }) => `${real(x, 3)}·${real(w, 3)}`).join(" + ")}${taps.length > 3 ? " + …" : ""} = ${real(share, 5)}`
        : `${tap > 0 ? `${real(sum - now.w * now.x, 4)} + ` : ""}${real(now.x, 3)}·${real(now.w, 3)} = ${real(sum, 5)}`));
  } else {
    parts.push(el("p", { class: "note" }, t("cell.large", { h: cell.window.kernel.h, w: cell.window.kernel.w })));
  }
  if (cell.inputs > 1) parts.push(inputs());
  return parts;
}

// product is the window beside the weights that it is multiplied with.
const product = () => el("div", { class: "product" },
  grid(cell.patch, t("cell.patch"), tap), el("span", { class: "sign", "aria-hidden": "true" }, "×"), grid(cell.weights, t("cell.weights"), tap));

// inputs lists what the input maps add, the largest first; each can be chosen.
function inputs() {
  const rest = cell.sums.map((s, i) => ({ s, i: i + cell.first_in })).sort((a, b) => Math.abs(b.s) - Math.abs(a.s));
  const most = Math.abs(rest[0].s) || 1;
  return el("details", { class: "inputs", open: listing, ontoggle: (event) => { listing = event.target.open; } }, el("summary", {}, t(cell.from ? "cell.inputs" : "cell.inputs.picture", { n: count(cell.inputs) })),
    el("ol", { class: "units" }, rest.slice(0, 16).map(({ s, i }) => el("li", {},
      el("button", { type: "button", class: "line", "aria-pressed": String(i === cell.in), onclick: () => { state.input = i; ask(); } }, t(cell.from ? "cell.input" : "cell.input.picture", { n: i })),
      el("span", { class: "figure" }, real(s)), el("span", { class: `meter ${s < 0 ? "less" : ""}`, "aria-hidden": "true" }, el("span", { style: { width: `${(100 * Math.abs(s)) / most}%` } })))),
    rest.length > 16 && el("li", { class: "note" }, t("cell.others", { n: count(rest.length - 16), sum: real(rest.slice(16).reduce((x, { s }) => x + s, 0)) }))));
}

const listed = (values) => `${values.slice(0, 9).map((v) => real(v, 3)).join(", ")}${values.length > 9 ? ", …" : ""}`;

function pool() {
  const max = cell.kind === "maxpool";
  const { window: w, divisor } = cell;
  if (!cell.patch) {
    return [el("p", { class: "note" }, t("cell.pool.large", { n: count(w.real), from: from(), in: cell.channel })),
      el("p", { class: "formula" }, max ? `max(…) = ${real(cell.result, 5)}` : mean("…"))];
  }
  const flat = cell.patch.flat();
  const given = flat.filter((v) => v !== null);
  const lit = tap < 0 && max ? flat.indexOf(Math.max(...given)) : tap;
  const parts = [where(cell.from ? "cell.pool" : "cell.pool.picture"), grid(cell.patch, t("cell.patch"), lit), stepper(flat.length)];
  if (tap >= 0) parts.push(tapLine(stepped(flat, max)));
  else if (max) parts.push(el("p", { class: "formula" }, `max(${listed(given)}) = ${real(cell.result, 5)}`));
  else parts.push(el("p", { class: "formula", id: "mean-line" }, mean(listed(given).replaceAll(", ", " + "))));
  if (!max && w.real !== divisor) parts.push(el("p", { class: "note" }, t("cell.counts", { n: divisor, real: w.real })));
  return parts;
}

const mean = (given) => `(${given}) / ${cell.divisor} = ${real(cell.sum, 5)} / ${cell.divisor} = ${real(cell.sum / cell.divisor, 5)}`;

// stepped is the largest number, or the sum, up to the place in the light.
function stepped(flat, max) {
  const now = flat[tap];
  const before = flat.slice(0, tap).filter((v) => v !== null);
  const put = (values) => (max ? Math.max(...values) : values.reduce((s, v) => s + v, 0));
  if (now === null) return t("cell.pool.pad", { value: before.length > 0 ? real(put(before), 5) : "–" });
  const all = real(put([...before, now]), 5);
  if (before.length === 0) return all;
  return max ? `max(${real(put(before), 5)}, ${real(now, 5)}) = ${all}` : `${real(put(before), 5)} + ${real(now, 5)} = ${all}`;
}

// l2pool is the root of a weighted sum of squares.
const l2pool = () => [where(cell.from ? "cell.pool" : "cell.pool.picture"), product(),
  el("p", { class: "note" }, t("cell.l2pool")), el("p", { class: "formula" }, `√${real(cell.sum, 5)} = ${real(cell.result, 5)}`)];

function linear() {
  return [
    el("p", { class: "note" }, t("cell.linear", { from: from(), n: count(cell.inputs) })),
    el("table", { class: "terms" }, el("thead", {}, el("tr", {}, ["input", "value", "weight", "product"].map((c) => el("th", { scope: "col" }, t(`cell.col.${c}`))))),
      el("tbody", {}, cell.terms.map((term) => el("tr", {}, el("th", { scope: "row" }, String(term.index)),
        [term.input, term.weight, term.input * term.weight].map((v) => el("td", { class: "figure" }, real(v)))))),
      cell.inputs > cell.terms.length && el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: 3 }, t("cell.rest", { n: count(cell.inputs - cell.terms.length) })), el("td", { class: "figure" }, real(cell.rest))))),
  ];
}

function lrn() {
  const { lrn: n, source } = cell;
  return [
    el("p", { class: "note" }, t("cell.lrn", { first: n.first, last: n.last, ...place(), from: from() })),
    el("p", { class: "formula" }, `${real(source.value, 5)} / (${n.k} + ${n.alpha}/${n.size} · ${real(n.squares, 5)})^${n.beta} = ${real(source.value / (n.k + (n.alpha / n.size) * n.squares) ** n.beta, 5)}`),
  ];
}

// ending is what becomes of the sum, and the map's own value.
function ending() {
  const lines = [];
  let now = cell.source && !cell.lrn ? cell.source.value : cell.divisor ? cell.sum / cell.divisor : cell.norm ? cell.norm.in : cell.sum; // what ReLU or batch norm gets
  if (cell.sums || cell.terms) {
    const parts = cell.sums ? cell.sums.length : cell.inputs;
    const plain = cell.sum - (cell.bias ?? 0);
    lines.push([t(cell.sums ? (cell.from ? "cell.sum.maps" : "cell.sum.picture") : "cell.sum.inputs", { n: count(parts) }), real(plain, 6)]);
    if (cell.bias !== undefined) lines.push([t("cell.bias"), `${real(plain, 6)} + ${real(cell.bias, 5)} = ${real(cell.sum, 6)}`]);
  }
  const { norm } = cell;
  if (norm) {
    lines.push(...normed(norm));
    now = norm.out;
  }
  if (cell.relu) lines.push([t("cell.relu"), `max(0, ${real(now, 6)}) = ${real(cell.result, 6)}`]);
  lines.push([t("cell.value"), real(cell.value, 6)]);
  return el("div", { class: "ending" },
    el("dl", { class: "working", id: "working", "data-at": `${cell.y},${cell.x}`, "data-layer": cell.layer, "data-channel": cell.channel, "data-result": cell.result, "data-value": cell.value },
      lines.map(([word, line]) => el("div", {}, el("dt", {}, word), el("dd", {}, line)))),
    cell.worked && el("p", { class: "note", id: "exact" }, exact()));
}

// normed is batch norm in three lines: the mean taken away, by the deviation, scaled and shifted.
function normed(norm) {
  const centred = norm.in - norm.mean;
  const deviation = Math.sqrt(norm.variance + norm.epsilon);
  return [
    [t("cell.norm.mean"), `${real(norm.in, 5)} − ${bracket(norm.mean)} = ${real(centred, 5)}`],
    [t("cell.norm.deviation"), `${real(centred, 5)} / √(${real(norm.variance)} + ${real(norm.epsilon)}) = ${real(centred / deviation, 5)}`],
    [t("cell.norm"), `${real(norm.gamma)}·${bracket(centred / deviation)} + ${bracket(norm.beta)} = ${real(norm.out, 6)}`],
  ];
}

const bracket = (x) => (x < 0 ? `(${real(x, 5)})` : real(x, 5));

// stepOn goes one place further in the window that is worked out, for who steps from elsewhere; false where there is none.
export function stepOn() {
  const button = [byID("tap-next"), byID("tap-first")].find((b) => b && !b.disabled);
  const held = document.activeElement;
  button?.click();
  held?.focus();
  return Boolean(button);
}

// exact says how the map's number comes to differ from the working, by what computed it.
function exact() {
  const off = Math.abs(cell.value - cell.result);
  if (off === 0) return t("cell.same");
  const algorithm = cell.sums && /^winograd(\d)$/.exec(groupOf(cell.layer)?.algorithm ?? "");
  return t(algorithm ? "cell.off.winograd" : "cell.off", { off: real(off, 2), m: algorithm?.[1] });
}
