// One number of a map, worked out with the real numbers: window times kernel, tap by tap, then over all input maps, bias, batch norm, ReLU.

import * as api from "./api.js";
import { byID, el, later } from "./dom.js";
import { t, count, real } from "./words.js";
import { state, when } from "./state.js";
import { again } from "./picture.js";

let asking = new AbortController();
let cell = null;
let tap = -1; // how far the first sum is stepped through; -1: all of it

export function startCell() {
  when("cell", later(60, () => ask()));
}

export function showCell() {
  asking.abort();
  cell = null;
  byID("cell").replaceChildren(el("h3", {}, t("cell.title")));
}

async function ask() {
  if (!byID("cell") || byID("map")?.dataset.layer !== state.layer) return; // another layer was chosen meanwhile
  asking.abort();
  asking = new AbortController();
  const { layer, channel } = state;
  try {
    cell = await api.cell(state.visit.id, { layer, channel, y: state.cell.y, x: state.cell.x, in: Math.max(state.input, 0) }, asking.signal);
    if (state.input < 0 && cell.sums) { // the input map that adds most
      const best = cell.sums.reduce((b, s, i, all) => (Math.abs(s) > Math.abs(all[b]) ? i : b), 0) + cell.first_in;
      state.input = best;
      if (best !== cell.in) return ask();
    }
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
  if (cell.kind === "conv") parts.push(...conv());
  else if (cell.patch) parts.push(...pool());
  else if (cell.terms) parts.push(...linear());
  else parts.push(el("p", {}, t("cell.plain")));
  parts.push(ending());
  box.replaceChildren(...parts);
  if (focus) byID(focus)?.focus();
}

// grid is a window's numbers; lit is the tap in the light.
const grid = (values, label, lit, write = (v) => real(v, 3)) =>
  el("table", { class: "grid" }, el("caption", {}, label), el("tbody", {}, values.map((row, r) =>
    el("tr", {}, row.map((v, q) => el("td", { class: `${r * row.length + q === lit ? "lit" : ""}${v === null ? " padding" : ""}` }, v === null ? t("cell.padding") : write(v)))))));

function conv() {
  const taps = cell.weights.flatMap((row, r) => row.map((w, q) => ({ w, x: cell.patch[r][q] ?? 0, outside: cell.patch[r][q] === null })));
  const last = tap < 0 ? taps.length - 1 : tap;
  const sum = taps.slice(0, last + 1).reduce((s, { w, x }) => s + w * x, 0);
  const now = taps[last];
  const steps = el("div", { class: "row" },
    el("button", { type: "button", id: "tap-first", onclick: () => { tap = 0; draw("tap-next"); } }, t("cell.step")),
    el("button", { type: "button", id: "tap-next", disabled: tap < 0 || tap >= taps.length - 1, onclick: () => { tap++; draw(tap >= taps.length - 1 ? "tap-first" : "tap-next"); } }, t("cell.next")),
    el("button", { type: "button", id: "tap-all", disabled: tap < 0, onclick: () => { tap = -1; draw("tap-first"); } }, t("cell.all")));
  const share = cell.sums[cell.in - cell.first_in];
  const rest = cell.sums.map((s, i) => ({ s, i: i + cell.first_in })).sort((a, b) => Math.abs(b.s) - Math.abs(a.s));
  const most = Math.abs(rest[0].s) || 1;
  return [
    el("p", { class: "note" }, t("cell.window", { from: from(), in: cell.in, top: cell.window.top, left: cell.window.left })),
    el("div", { class: "product" },
      grid(cell.patch, t("cell.patch"), tap), el("span", { class: "sign", "aria-hidden": "true" }, "×"), grid(cell.weights, t("cell.weights"), tap)),
    steps,
    el("p", { class: "formula", id: "tap-line", "aria-live": "polite" }, tap < 0
      ? `${taps.slice(0, 3).map(({ w, x }) => `${real(x, 3)}·${real(w, 3)}`).join(" + ")}${taps.length > 3 ? " + …" : ""} = ${real(share, 5)}`
      : `${tap > 0 ? `${real(sum - now.w * now.x, 4)} + ` : ""}${real(now.x, 3)}·${real(now.w, 3)} = ${real(sum, 5)}`),
    cell.inputs > 1 && el("details", { class: "inputs" }, el("summary", {}, t("cell.inputs", { n: count(cell.inputs) })),
      el("ol", { class: "units" }, rest.slice(0, 16).map(({ s, i }) => el("li", {},
        el("button", { type: "button", class: "line", "aria-pressed": String(i === cell.in), onclick: () => { state.input = i; ask(); } }, t("cell.input", { n: i })),
        el("span", { class: "figure" }, real(s)), el("span", { class: `meter ${s < 0 ? "less" : ""}`, "aria-hidden": "true" }, el("span", { style: { width: `${(100 * Math.abs(s)) / most}%` } })))),
      rest.length > 16 && el("li", { class: "note" }, t("cell.others", { n: count(rest.length - 16), sum: real(rest.slice(16).reduce((x, { s }) => x + s, 0)) })))),
  ].filter(Boolean);
}

function pool() {
  const max = cell.kind === "maxpool";
  const flat = cell.patch.flat();
  const lit = max ? flat.findIndex((v) => v !== null && v === cell.result) : -1;
  return [
    el("p", { class: "note" }, t("cell.pool", { from: from(), in: cell.channel, top: cell.window.top, left: cell.window.left })),
    grid(cell.patch, t("cell.patch"), lit),
    el("p", { class: "formula" }, `${max ? "max" : t("cell.mean")}(${flat.filter((v) => v !== null).slice(0, 9).map((v) => real(v, 3)).join(", ")}${flat.length > 9 ? ", …" : ""}) = ${real(cell.result, 5)}`),
  ];
}

function linear() {
  return [
    el("p", { class: "note" }, t("cell.linear", { from: from(), n: count(cell.inputs) })),
    el("table", { class: "terms" }, el("thead", {}, el("tr", {}, ["input", "value", "weight", "product"].map((c) => el("th", { scope: "col" }, t(`cell.col.${c}`))))),
      el("tbody", {}, cell.terms.map((term) => el("tr", {}, el("th", { scope: "row" }, String(term.index)),
        [term.input, term.weight, term.input * term.weight].map((v) => el("td", { class: "figure" }, real(v)))))),
      el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: 3 }, t("cell.rest", { n: count(Math.max(cell.inputs - cell.terms.length, 0)) })), el("td", { class: "figure" }, real(cell.rest ?? 0))))),
  ];
}

// ending is what becomes of the sum, and the map's own value.
function ending() {
  const lines = [];
  if (cell.sums || cell.terms) {
    const parts = cell.sums ? cell.sums.length : cell.inputs;
    const plain = cell.sum - (cell.bias ?? 0);
    lines.push([t(cell.sums ? "cell.sum.maps" : "cell.sum.inputs", { n: count(parts) }), real(plain, 6)]);
    if (cell.bias !== undefined) lines.push([t("cell.bias"), `${real(plain, 6)} + ${real(cell.bias, 5)} = ${real(cell.sum, 6)}`]);
    const { norm } = cell;
    if (norm) lines.push([t("cell.norm"), `${real(norm.gamma)}·(${real(cell.sum)} − ${real(norm.mean)})/√(${real(norm.variance)} + ${real(norm.epsilon)}) + ${real(norm.beta)} = ${real(norm.out, 6)}`]);
    if (cell.relu) lines.push([t("cell.relu"), `max(0, ${real(norm ? norm.out : cell.sum, 6)}) = ${real(cell.result, 6)}`]);
  }
  lines.push([t("cell.value"), real(cell.value, 6)]);
  const off = Math.abs(cell.value - cell.result);
  return el("div", { class: "ending" },
    el("dl", { class: "working", id: "working", "data-at": `${cell.y},${cell.x}`, "data-result": cell.result, "data-value": cell.value }, lines.map(([word, line]) => el("div", {}, el("dt", {}, word), el("dd", {}, line)))),
    el("p", { class: "note" }, off === 0 ? t("cell.same") : t("cell.off", { off: real(off, 2) })));
}
