// Three 3×3 are one 7×7: what a stack of small kernels sees and costs beside one large kernel, and how a kernel's size, stride and padding
// make the size of its output. Every figure is arch's.

import * as api from "./api.js";
import { byID, el, svg, later } from "./dom.js";
import { t, count } from "./words.js";
import { said } from "./faults.js";
import { state, when } from "./state.js";
import { figures, sentence } from "./figure.js";

const shown = 15; // pixels of the picture along a side, enlarged
const side = 32; // of the maps that the two compute on
const place = { y: 0, x: 0 }; // the pixel in the middle of both
let channels = 64;
let step = 3; // layers of the stack that are shown
const rule = { n: 10, k: 3, s: 1, p: 0 };

export function startLab() {
  when("visit models", () => {
    const { h, w } = state.model?.input ?? { h: 1, w: 1 };
    Object.assign(place, { y: Math.floor(h / 2), x: Math.floor(w / 2) });
  });
  when("visit language", build);
  when("models", build);
}

function build() {
  if (!state.model) return;
  const { h, w } = state.model.input;
  const range = (id, key, value, min, max, set) => el("label", { class: "field wide" }, el("span", {}, t(key)),
    el("input", { type: "range", id, "data-link": true, min, max, value, oninput: (event) => set(Number(event.target.value)) }), el("output", { for: id, id: `${id}-told` }, count(value)));
  byID("lab-tools").replaceChildren(
    range("lab-step", "lab.step", step, 1, 3, (v) => { step = v; soon(); }),
    range("lab-y", "maps.y", place.y, 0, h - 1, (v) => { place.y = v; soon(); }),
    range("lab-x", "maps.x", place.x, 0, w - 1, (v) => { place.x = v; soon(); }),
    range("lab-channels", "lab.channels", Math.log2(channels), 0, 10, (v) => { channels = 2 ** v; soon(); }));
  byID("rule-tools").replaceChildren(
    ...[["n", 1, 16], ["k", 1, 7], ["s", 1, 4], ["p", 0, 3]].map(([key, min, max]) => range(`rule-${key}`, `lab.rule.${key}`, rule[key], min, max, (v) => { rule[key] = v; soon(); })));
  byID("lab-columns").dataset.ready = "";
  show();
}

const redraw = later(40, show);
let asking = new AbortController();

function soon() {
  asking.abort(); // what comes now is of what the sliders said before
  redraw();
}

async function show() {
  const { y, x } = place;
  for (const [id, value] of Object.entries({ "lab-step": step, "lab-y": y, "lab-x": x, "lab-channels": channels, "rule-n": rule.n, "rule-k": rule.k, "rule-s": rule.s, "rule-p": rule.p })) {
    byID(`${id}-told`).textContent = count(value);
    byID(id).setAttribute("aria-valuetext", count(value));
  }
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const c = channels;
  const texts = [`${side}x${side}x${c}:${c},${c},${c}`, `${side}x${side}x${c}:${c}k7p3`];
  try {
    const [small, large] = await Promise.all(texts.map((text) => api.archOfText(text, {}, signal)));
    columns([small, figures(`arch:${texts[0]}`, small)], [large, figures(`arch:${texts[1]}`, large)]);
    await slide(signal);
  } catch (error) {
    api.complain(error);
  }
}

// columns shows the stack beside the one.
function columns([small, f], [large, g]) {
  const stack = small.layers.filter((l) => l.kind === "conv");
  const [one] = large.layers;
  const see = (figure, layers, last) => figure(`layers/${layers[last].name}/field/h/size`);
  const square = (figure) => [figure("total/weights ÷ input/c ÷ input/c"), "·C²"];
  const column = (title, fields, figure, lines) => el("figure", {}, el("h3", {}, title), crop(fields), el("ul", {}, lines.map((line) => el("li", {}, line))));
  const last = step - 1;
  byID("lab-columns").replaceChildren(
    column(t("lab.small"), stack.slice(0, step).map((l) => l.field.h.size), f, [
      sentence("lab.sees", { layer: el("code", {}, stack[last].name), n: see(f, stack, last), formula: f(`layers/${stack[last].name}/formulas/field`, String) }),
      sentence("lab.weights.each", { formula: f(`layers/${stack[0].name}/formulas/weights`, String) }),
      sentence("lab.weights", { n: f("total/weights"), square: el("span", {}, square(f)) }),
      sentence("lab.relus", { n: count(stack.length) })]),
    column(t("lab.large"), [one.field.h.size], g, [
      sentence("lab.sees", { layer: el("code", {}, one.name), n: see(g, [one], 0), formula: g(`layers/${one.name}/formulas/field`, String) }),
      sentence("lab.weights.each", { formula: g(`layers/${one.name}/formulas/weights`, String) }),
      sentence("lab.weights", { n: g("total/weights"), square: el("span", {}, square(g)) }),
      sentence("lab.relus", { n: count(1) })]));
  byID("lab-columns").dataset.ready = String(channels);
}

// crop is the picture around the place, enlarged, with the fields of its middle pixel.
function crop(fields) {
  const { h, w } = state.model.input;
  const [top, left] = [place.y - (shown - 1) / 2, place.x - (shown - 1) / 2];
  const box = (size, kind) => svg("rect", { class: kind, x: place.x - (size - 1) / 2, y: place.y - (size - 1) / 2, width: size, height: size, "vector-effect": "non-scaling-stroke" });
  const picture = state.visit && svg("image", { href: api.inputURL(state.visit.id), x: 0, y: 0, width: w, height: h, preserveAspectRatio: "none" });
  return svg("svg", { class: "crop", viewBox: `${left} ${top} ${shown} ${shown}`, role: "img", "aria-label": t("lab.crop", { list: fields.map((f) => `${f}×${f}`).join(t("list.comma")) }), "data-fields": fields.join(",") },
    [svg("rect", { class: "beyond", x: left, y: top, width: shown, height: shown }), picture, svg("rect", { class: "pixel", x: place.x, y: place.y, width: 1, height: 1 }),
      ...fields.map((size, i) => box(size, i === fields.length - 1 ? "sees" : "grew"))].filter(Boolean));
}

// slide draws a kernel's places over one row of numbers, and the rule that counts them.
async function slide(signal) {
  const { n, k, s, p } = rule;
  const text = `${n}x${n}x1:1k${k}s${s}p${p}`;
  let report;
  try {
    report = await api.archOfText(text, {}, signal);
  } catch (error) {
    if (error.name === "AbortError" || error.kind === "silent") throw error;
    byID("rule-picture").replaceChildren();
    byID("rule-words").replaceChildren(el("span", { class: "fault", id: "rule-fault" }, ...said(error)));
    return;
  }
  const f = figures(`arch:${text}`, report);
  const [layer] = report.layers;
  const outs = layer.out.w;
  const width = n + 2 * p;
  const line = 0.75; // the height of a window's line
  const cells = Array.from({ length: width }, (_, i) => svg("rect", { class: i < p || i >= p + n ? "input pad" : "input", x: i - p + 0.04, y: 0, width: 0.92, height: 0.92 }));
  const windows = Array.from({ length: outs }, (_, i) => svg("rect", { class: "window", x: i * s - p + 0.08, y: 1.25 + i * line, width: k - 0.16, height: line - 0.25, rx: 0.15 }));
  byID("rule-picture").replaceChildren(svg("svg", { class: "rule", viewBox: `${-p - 0.2} -0.2 ${width + 0.4} ${1.6 + outs * line}`, role: "img", "aria-label": t("lab.rule.picture", { k, n, p, s, out: outs }), "data-windows": outs }, [...cells, ...windows]));
  byID("rule-words").replaceChildren(...sentence("lab.rule.words", { out: f("layers/conv1_1/out/w"), formula: f("layers/conv1_1/formulas/size", String) }));
}
