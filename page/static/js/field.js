// What a cell sees: its receptive field on the picture, and how that grew layer by layer.

import * as api from "./api.js";
import { byID, el, svg, calm, later } from "./dom.js";
import { t, count } from "./words.js";
import { again } from "./picture.js";
import { state, when, groupOf } from "./state.js";
import { paintHeat } from "./colour.js";

let asking = new AbortController();
let field = null;
let step = 0;
let timer = null;

export function startField() {
  when("cell", ask);
  when("hover", later(40, ask));
}

// showField makes the picture ready; ask draws the field once a cell is pointed at.
export function showField() {
  clearInterval(timer);
  const { input } = state.model;
  byID("field-figure").replaceChildren(
    el("h3", {}, t("field.title")),
    el("div", { class: "pad still" },
      el("img", { src: api.inputURL(state.visit.id), alt: t("see.alt"), id: "field-picture", class: "pixels" }),
      el("canvas", { id: "field-heat", "aria-hidden": "true", hidden: true }),
      svg("svg", { id: "field", viewBox: `0 0 ${input.w} ${input.h}`, preserveAspectRatio: "none", "aria-hidden": "true" })),
    el("figcaption", { id: "field-caption", "aria-live": "polite" }),
    el("label", { class: "field wide" }, el("span", {}, t("field.walk")),
      el("input", { type: "range", id: "field-step", min: 0, max: 0, value: 0, oninput: (event) => { clearInterval(timer); step = Number(event.target.value); draw(); } })),
    el("div", { class: "row" }, el("button", { type: "button", id: "field-play", onclick: play }, t("field.play")), el("button", { type: "button", id: "field-effective", onclick: effective }, t("field.effective"))),
    el("p", { id: "field-half", class: "note", "aria-live": "polite" }),
    el("details", {}, el("summary", {}, t("field.how")), el("ol", { id: "field-way", class: "way" })));
}

async function ask() {
  if (!byID("field") || !state.visit || !state.pinned) return;
  asking.abort();
  asking = new AbortController();
  clearInterval(timer);
  const { layer, model } = state;
  const cell = state.hover ?? state.cell;
  try {
    field = await api.field(model.name, { layer, y: cell.y, x: cell.x }, asking.signal);
  } catch (error) {
    return api.complain(error);
  }
  const slider = byID("field-step");
  if (!slider) return;
  byID("field-heat").hidden = true;
  byID("field-half").textContent = "";
  byID("field-effective").hidden = !groupOf(layer) || groupOf(layer).shape.h * groupOf(layer).shape.w === 1;
  step = Math.max(field.steps.length - 1, 0);
  slider.max = step;
  slider.value = step;
  byID("field-way").replaceChildren(...(field.way ?? []).map((w) => el("li", {}, `${w.name}: `, el("code", {}, w.formula))));
  draw();
}

// draw shows the boxes up to the step, the last one lit.
function draw() {
  if (!field || !byID("field")) return;
  const { input } = state.model;
  const shown = field.steps.slice(0, step + 1);
  const [y0, x0, y1, x1] = shown.at(-1)?.box ?? field.box;
  const dark = `M0 0H${input.w}V${input.h}H0z M${x0} ${y0}V${y1}H${x1}V${y0}z`;
  const box = (b, kind) => svg("rect", { class: kind, x: b[1], y: b[0], width: Math.max(b[3] - b[1], 0), height: Math.max(b[2] - b[0], 0), "vector-effect": "non-scaling-stroke" });
  const node = byID("field");
  node.replaceChildren(svg("path", { class: "dark", d: dark, "fill-rule": "evenodd" }), ...shown.slice(0, -1).map((s) => box(s.box, "grew")), box([y0, x0, y1, x1], "sees"));
  node.classList.toggle("heated", !byID("field-heat").hidden);
  node.dataset.box = [y0, x0, y1, x1].join(",");
  const last = shown.at(-1);
  byID("field-step").value = step;
  byID("field-step").setAttribute("aria-valuetext", last?.layer ?? "");
  byID("field-caption").textContent = caption(last, y1 - y0, x1 - x0);
}

// uneven says whether a layer up to this one averages over windows of different sizes: then a field has no one size.
function uneven(layer) {
  for (const l of state.report.layers) {
    if (l.kind === "adaptiveavgpool" && (l.in.h % l.out.h || l.in.w % l.out.w)) return true;
    if (l.name === layer) return false;
  }
  return false;
}

function caption(last, h, w) {
  if (!last || uneven(last.layer)) return h === 1 && w === 1 ? t("field.pixel") : t("field.here", { h: count(h), w: count(w) });
  const words = h < last.size || w < last.width ? "field.clipped" : "field.sees";
  return t(words, { layer: last.layer, fh: count(last.size), fw: count(last.width), h: count(h), w: count(w) });
}

// effective shows how much the cell depends on each pixel, by gradients: mostly on the middle of what it sees.
async function effective() {
  const { layer, visit } = state;
  const { y, x, middle } = field;
  const whole = field.steps.at(-1);
  const { signal } = asking;
  byID("field-half").textContent = t("why.running");
  try {
    const told = await api.effective(visit.id, { layer: groupOf(layer).layers.at(-1), y, x }, signal);
    paintHeat(byID("field-heat"), told.width, told.height, told.heat);
    byID("field-heat").hidden = false;
    Object.assign(byID("field-half").dataset, { half: told.half, at: middle });
    byID("field-half").textContent = told.most > 0 ? t("field.half", { layer: told.layer, half: count(told.half), h: count(whole.size), w: count(whole.width) }) : t("field.nothing");
    step = field.steps.length - 1;
    draw();
  } catch (error) {
    if (error.name !== "AbortError") byID("field-half").textContent = "";
    if (error.kind === "not_found") await again();
    else api.complain(error, error.after ? effective : undefined);
  }
}

// play lets the field grow from the pixels up.
function play() {
  clearInterval(timer);
  if (!field) return;
  step = 0;
  draw();
  timer = setInterval(() => {
    if (step >= field.steps.length - 1 || !byID("field")) return clearInterval(timer);
    step++;
    draw();
  }, calm() ? 1200 : 600);
}
