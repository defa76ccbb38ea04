// The last step, opened: from one picture's scores to the loss, back by the chain rule to a weight of the last layer and one of the first,
// and the step that each takes.

import * as api from "./api.js";
import { el, calm } from "./dom.js";
import { t, real, count } from "./words.js";
import { className } from "./names.js";
import { paintGrey, paintSigned, largest } from "./colour.js";

const side = 28;
const terms = 5; // pictures that are listed, those that add most

let step = null; // as the server tells it
let choice = {}; // what of it is shown: picture, class, unit, filter, row, column
let of = null; // the run
let box = null;

let more = null; // takes another step

// showOpened opens the last step of a run in a box, with what takes another.
export async function showOpened(inside, run, another) {
  [box, of, more] = [inside, run, another];
  choice = { picture: choice.picture ?? 0, row: choice.row ?? 1, column: choice.column ?? 1 };
  const first = !step;
  if ((await ask()) && first) box.scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
}

// reopen shows the step that is open, if one is, in another box.
export function reopen(inside) {
  box = inside;
  if (step) draw();
}

export function hideOpened(inside) {
  turn++;
  step = null;
  inside.hidden = true;
  inside.replaceChildren();
}

let turn = 0; // the newest question is answered

// ask asks for the step's parts that are chosen, and is false where others were chosen meanwhile.
async function ask() {
  const mine = ++turn;
  const told = await api.trainOpen(of.id, choice);
  if (mine !== turn) return false;
  step = told;
  draw();
  return true;
}

// change asks for another part of the step and gives the focus back.
async function change(values, focus) {
  Object.assign(choice, values);
  try {
    if (await ask()) document.getElementById(focus)?.focus();
  } catch (error) {
    api.complain(error);
  }
}

const named = (n) => className(n, of.classes[n]);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const line = (id, text) => el("p", { class: "formula", id }, text);
const part = (n, title, ...rest) => el("section", { class: "part" }, el("h4", {}, `${n}. ${title}`), ...rest);
const signed = (v) => (v < 0 ? `(${real(v)})` : real(v));

function draw() {
  const n = step.labels.length;
  box.replaceChildren(
    el("div", { class: "row spread" }, el("h3", {}, t("opened.title", { step: count(step.step) })), el("button", { type: "button", id: "opened-one", onclick: more }, t("opened.one"))),
    el("p", {}, t("opened.lead", { n, loss: real(step.loss) })),
    el("div", { class: "opened" }, picture(n), el("div", {}, scores())),
    part(1, t("opened.loss"), el("p", {}, t("opened.loss.note", { label: named(step.labels[step.picture]) })),
      line("opened-loss", `L = −ln p = −ln ${real(own().p)} = ${real(step.picture_loss)}`)),
    part(2, t("opened.scores"), el("p", {}, t("opened.scores.note")),
      line("opened-score", `∂L/∂z = p − y = ${real(own().p)} − 1 = ${real(own().gradient)}`)),
    part(3, t("opened.last"), ...last(n)),
    part(4, t("opened.move"), el("p", {}, t("opened.move.note")), moved("opened-last", step.last)),
    part(5, t("opened.first"), ...first(n)));
  box.hidden = false;
}

const own = () => step.scores[step.labels[step.picture]];

function picture(n) {
  const label = named(step.labels[step.picture]);
  const canvas = el("canvas", { class: "seen", role: "img", "aria-label": label });
  paintGrey(canvas, side, api.bytes(step.pixels));
  const turn = (by, id, words) => el("button", { type: "button", id, disabled: step.picture + by < 0 || step.picture + by >= n, onclick: () => change({ picture: step.picture + by, class: undefined, unit: undefined, filter: undefined }, id) }, t(words));
  return el("figure", {}, canvas, el("figcaption", {}, t("opened.picture", { i: step.picture + 1, n, label })),
    el("div", { class: "row" }, turn(-1, "opened-before", "opened.before"), turn(1, "opened-after", "opened.after")));
}

// scores are a row for each class.
function scores() {
  const cell = (v, digits) => el("td", { class: "figure" }, real(v, digits));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("opened.table") }, el("table", { id: "opened-scores" },
    el("thead", {}, el("tr", {}, ["class", "z", "p", "y", "gradient"].map((c) => el("th", { scope: "col", class: c === "class" ? "" : "figure" }, t(`opened.col.${c}`))))),
    el("tbody", {}, step.scores.map((s, k) => el("tr", { class: s.y ? "chosen" : "", "data-class": k, "data-gradient": s.gradient, "data-held": s.held },
      el("th", { scope: "row" }, named(k)), cell(s.z), cell(s.p), el("td", { class: "figure" }, String(s.y)), cell(s.gradient))))));
}

const select = (id, label, options, now, todo) => el("label", { class: "field" }, el("span", {}, label),
  el("select", { id, onchange: (event) => todo(Number(event.target.value)) }, options.map(([value, words]) => el("option", { value, selected: value === now }, words))));

// last opens a weight of the last layer.
function last(n) {
  const w = step.last;
  const mine = w.terms[step.picture];
  const most = w.terms.map((term, i) => ({ ...term, i })).sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  const units = el("input", { id: "opened-unit", type: "number", min: 0, value: w.unit, onchange: (event) => change({ class: w.class, unit: event.target.value }, "opened-unit") });
  return [
    el("div", { class: "row" }, select("opened-class", t("opened.class"), of.classes.map((_, k) => [k, named(k)]), w.class, (k) => change({ class: k, unit: w.unit }, "opened-class")),
      el("label", { class: "field" }, el("span", {}, t("opened.unit")), units)),
    el("p", {}, t("opened.last.note", { name: w.name, unit: w.unit, from: w.from, channel: w.channel, y: w.y, x: w.x, label: named(w.class) })),
    line("opened-chain", `∂L/∂w = ∂L/∂z · ∂z/∂w = (p − y) · a = ${signed(mine.gradient)} · ${real(mine.unit)} = ${real(mine.product)}`),
    el("p", {}, t("opened.mean", { n })),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("opened.terms") }, el("table", { id: "opened-terms" },
      el("thead", {}, el("tr", {}, ["picture", "gradient", "unit", "product"].map((c) => el("th", { scope: "col", class: c === "picture" ? "" : "figure" }, t(`opened.term.${c}`))))),
      el("tbody", {}, most.slice(0, terms).map((term) => el("tr", {}, el("th", { scope: "row" }, t("opened.of", { i: term.i + 1, label: named(step.labels[term.i]) })),
        ["gradient", "unit", "product"].map((c) => el("td", { class: "figure" }, real(term[c]))))),
        most.length > terms && el("tr", {}, el("th", { scope: "row", colspan: 3 }, t("opened.rest", { n: most.length - terms })), el("td", { class: "figure" }, real(sum(most.slice(terms).map((term) => term.product)))))))),
    line("opened-gradient", `g = ${real(sum(w.terms.map((term) => term.product)))} / ${n} = ${real(w.gradient)}`),
    held(w),
  ];
}

// moved is the step of a weight.
const moved = (id, w) => el("p", { class: "formula", id, "data-gradient": w.gradient, "data-held": w.held, "data-before": w.before, "data-after": w.after, "data-now": w.held_now },
  `w − η · g = ${real(w.before, 6)} − ${real(step.rate, 4)} · ${signed(w.gradient)} = ${real(w.after, 6)}`);

const held = (w) => el("p", { class: "note" }, t("opened.held", { gradient: real(w.held, 7), worked: real(w.gradient, 7) }));

// first opens a weight of the first convolution.
function first(n) {
  const w = step.first;
  const seen = el("canvas", { class: "seen", role: "img", "aria-label": t("opened.pixels") });
  paintGrey(seen, side, api.bytes(step.pixels));
  const back = el("canvas", { class: "seen", role: "img", "aria-label": t("opened.back.label", { n: w.filter, most: real(largest(w.back), 3) }) });
  paintSigned(back, side, side, w.back, largest(w.back));
  const kernel = el("div", { class: "kernel", role: "group", "aria-label": t("opened.weight") }, [0, 1, 2].flatMap((row) => [0, 1, 2].map((column) => {
    const id = `opened-w${row}${column}`;
    return el("button", { type: "button", id, "aria-pressed": String(row === w.row && column === w.column), "aria-label": t("opened.at", { row: row + 1, column: column + 1 }), onclick: () => change({ filter: w.filter, row, column }, id) });
  })));
  return [
    el("p", {}, t("opened.first.note", { name: w.name })),
    el("div", { class: "row" }, select("opened-filter", t("opened.filter"), Array.from({ length: of.state.filters.length / 9 }, (_, i) => [i, String(i)]), w.filter, (filter) => change({ filter }, "opened-filter")),
      el("span", { class: "field" }, el("span", {}, t("opened.weight")), kernel)),
    el("div", { class: "product" }, el("figure", {}, back, el("figcaption", {}, t("opened.back"))), el("span", { class: "sign", "aria-hidden": "true" }, "×"), el("figure", {}, seen, el("figcaption", {}, t("opened.pixels")))),
    line("opened-share", `Σ ∂L/∂cell · pixel = ${real(w.share)}`),
    el("p", {}, t("opened.mean", { n })),
    line("opened-first-gradient", `g = ${real(w.gradient)}`),
    held(w),
    moved("opened-first", w),
  ];
}
