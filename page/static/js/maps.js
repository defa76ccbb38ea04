// A layer's maps of this picture: small ones to choose from, and the chosen one large, on which a cell is pinned.

import * as api from "./api.js";
import { byID, el, rove } from "./dom.js";
import { t, count, real } from "./words.js";
import { className } from "./names.js";
import { state, when, groupOf, scores, oneScore } from "./state.js";
import { point, preview } from "./layer.js";
import { again } from "./picture.js";
import { paintShades, paintMap, range } from "./colour.js";
import { scaleOf } from "./scale.js";

const page = 64; // maps shown at once
const units = 24; // numbers of a vector
const most = 448; // pixels of the large map's longer side

let order = "strength";
let from = 0;
let asking = new AbortController();
let turn = 0; // of layers shown, of which the newest wins
let shown = null; // {visit, layer, channel, h, w, values}

export function startMaps() {
  when("cell", () => {
    if (!byID("map-figure") || !state.visit) return;
    mark();
    large();
  });
  when("hover", spot);
}

// unit is what a number of a vector is called: the class that it is the score of, or its place.
export const unit = (layer, n) => (scores(layer) ? className(oneScore() ? 1 : n) : t("maps.unit", { n }));

const isVector = (shape) => shape.h === 1 && shape.w === 1;

// showMaps shows the layer's maps from the first on, and looks at the largest value of the strongest, unless one is chosen already.
export async function showMaps(row, chosen) {
  const { visit } = state;
  const mine = ++turn;
  const stale = () => mine !== turn || visit !== state.visit || row.name !== state.layer; // something else was chosen meanwhile
  from = 0;
  shown = null;
  const maps = await ask(row.name);
  if (!maps || stale()) return;
  if (chosen) return point(state.channel, state.cell.y, state.cell.x);
  const channel = maps.channels[0].channel;
  const map = await values(row.name, channel);
  if (!map || stale()) return;
  const best = map.values.reduce((b, v, i, all) => (v > all[b] ? i : b), 0);
  point(channel, Math.floor(best / map.w), best % map.w);
}

// ask fetches small maps and shows them; null when another layer was chosen meanwhile.
async function ask(layer) {
  asking.abort();
  asking = new AbortController();
  const group = groupOf(layer);
  if (!group) return null;
  const vector = isVector(group.shape);
  try {
    const maps = await api.maps(state.visit.id, { layer, ...(vector ? { order: "strength", count: units, side: 1 } : { order, from, count: page, side: 64 }) }, asking.signal);
    if (vector) list(layer, maps);
    else small(layer, maps);
    return maps;
  } catch (error) {
    if (error.kind === "not_found") await again();
    else api.complain(error);
    return null;
  }
}

function controls(layer, shape) {
  const turn = (by) => async () => {
    from += by;
    await ask(layer);
  };
  return el("div", { class: "row spread" },
    el("label", { class: "field" }, t("maps.order"), " ",
      el("select", { id: "order", onchange: async (event) => { order = event.target.value; from = 0; await ask(layer); byID("order")?.focus(); } },
        ["strength", "channel"].map((o) => el("option", { value: o, selected: o === order }, t(`maps.order.${o}`))))),
    el("span", { class: "row" },
      el("span", {}, t("maps.range", { from: count(from + 1), to: count(Math.min(from + page, shape.c)), all: count(shape.c) })),
      el("button", { type: "button", disabled: from === 0, onclick: turn(-page) }, t("maps.before")),
      el("button", { type: "button", disabled: from + page >= shape.c, onclick: turn(page) }, t("maps.after"))));
}

function small(layer, maps) {
  const area = maps.width * maps.height;
  const pixels = api.bytes(maps.pixels);
  const grid = el("div", { class: "maps", role: "group", "aria-label": t("maps.label", { layer }) },
    maps.channels.map((c, i) => {
      const canvas = el("canvas", {});
      paintShades(canvas, maps.width, maps.height, pixels.subarray(i * area, (i + 1) * area));
      return el("button", { type: "button", class: "map", "data-channel": c.channel, "data-max": c.max, tabindex: -1, "aria-label": t("maps.one", { n: c.channel, min: real(c.min), max: real(c.max) }),
        onclick: () => point(c.channel, state.cell.y, state.cell.x) }, canvas, el("span", { "aria-hidden": "true" }, String(c.channel)));
    }));
  rove(grid, ".map");
  byID("panel-maps").replaceChildren(controls(layer, maps.shape), el("figure", {}, grid), el("p", { class: "note" }, t("maps.note")), el("p", { class: "note" }, t(`maps.note.${order}`)));
  mark();
}

// list shows a vector's numbers as bars, the largest first.
function list(layer, maps) {
  const height = Math.max(...maps.channels.map((c) => Math.abs(c.max))) || 1;
  const rowsOf = maps.channels.map((c) =>
    el("li", {}, el("button", { type: "button", class: "map line", "data-channel": c.channel, "data-max": c.max, onclick: () => point(c.channel, 0, 0) }, unit(layer, c.channel)),
      el("span", { class: "figure" }, real(c.max)),
      el("span", { class: c.max < 0 ? "meter less" : "meter", "aria-hidden": "true" }, el("span", { style: { width: `${(100 * Math.abs(c.max)) / height}%` } }))));
  byID("panel-maps").replaceChildren(el("p", { class: "note" }, t(scores(layer) ? "maps.scores" : "maps.vector", { n: count(maps.shape.c), shown: rowsOf.length })), el("figure", { "aria-label": t("maps.label", { layer }) }, el("ol", { class: "units" }, rowsOf)));
  mark();
}

// values are one map's; null when another was asked for meanwhile.
async function values(layer, channel) {
  const { visit } = state;
  if (!visit) return null;
  if (shown?.visit === visit && shown.layer === layer && shown.channel === channel) return shown;
  try {
    const map = await api.map(visit.id, { layer, channel }, asking.signal);
    if (layer !== state.layer || visit !== state.visit) return null;
    shown = { visit, layer, channel, h: map.shape[0], w: map.shape[1] ?? 1, values: map.values };
    return shown;
  } catch (error) {
    if (error.kind === "not_found") await again();
    else api.complain(error);
    return null;
  }
}

function mark() {
  const all = [...byID("panel-maps").querySelectorAll(".map")];
  for (const b of all) {
    const chosen = Number(b.dataset.channel) === state.channel;
    b.setAttribute("aria-pressed", String(chosen));
    b.tabIndex = chosen ? 0 : -1;
  }
  if (all.length > 0 && !all.some((b) => b.tabIndex === 0)) all[0].tabIndex = 0;
}

// large shows the chosen map, with the pinned cell marked. A click or the arrow keys pin another; the pointer looks at what it is on.
async function large() {
  const layer = state.layer;
  const map = await values(layer, state.channel);
  const figure = byID("map-figure");
  const group = groupOf(layer);
  if (!map || !group || layer !== state.layer || map.channel !== state.channel || !figure) return;
  const { h, w } = map;
  state.cell.y = Math.min(state.cell.y, h - 1);
  state.cell.x = Math.min(state.cell.x, w - 1);
  const canvas = byID("map");
  if (!canvas || canvas.dataset.layer !== layer || Number(canvas.dataset.channel) !== state.channel) build(figure, layer, group.shape, map);
  if (byID("cell-y")) {
    byID("cell-y").value = state.cell.y;
    byID("cell-x").value = state.cell.x;
  }
  spot();
}

function build(figure, layer, shape, { h, w, values: numbers }) {
  const vector = isVector(shape);
  const { channel } = state;
  const canvas = el("canvas", { id: "map", "data-layer": layer, "data-channel": channel });
  paintMap(canvas, w, h, numbers);
  const name = vector ? t("maps.large.unit", { layer, unit: unit(layer, channel) }) : t("maps.large", { layer, channel });
  const pad = el("div", { class: "pad", id: "pad", tabindex: 0, role: "application", "aria-label": vector ? name : t("maps.pad", { layer, channel }), "aria-describedby": "map-caption", hidden: vector },
    canvas, el("span", { class: "cell", id: "cell-pinned", "aria-hidden": "true" }), el("span", { class: "cell hover", id: "cell-hover", "aria-hidden": "true", hidden: true }));
  pad.style.setProperty("aspect-ratio", `${w} / ${h}`);
  pad.style.setProperty("max-width", `${Math.min(most, Math.max(w * 24, 120))}px`);
  const under = (event) => {
    const r = canvas.getBoundingClientRect();
    const at = (position, length, n) => Math.min(Math.max(Math.floor((position / length) * n), 0), n - 1);
    return { y: at(event.clientY - r.top, r.height, h), x: at(event.clientX - r.left, r.width, w) };
  };
  pad.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") preview(under(event)); });
  pad.addEventListener("pointerleave", () => preview(null));
  pad.addEventListener("pointerdown", (event) => {
    const { y, x } = under(event);
    point(state.channel, y, x);
  });
  pad.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const by = event.shiftKey ? 8 : 1;
    point(state.channel, Math.min(Math.max(state.cell.y + by * step[0], 0), h - 1), Math.min(Math.max(state.cell.x + by * step[1], 0), w - 1));
  });
  const numberInput = (id, value, top, set) => el("label", { class: "field" }, t(`maps.${id}`), " ",
    el("input", { type: "number", id: `cell-${id}`, min: 0, max: top, value, onchange: (event) => set(Math.min(Math.max(Math.round(Number(event.target.value)) || 0, 0), top)) }));
  figure.replaceChildren(...[el("h3", {}, name), pad, !vector && scaleOf(...range(numbers)),
    el("figcaption", { id: "map-caption" }),
    el("div", { class: "row" },
      !vector && numberInput("y", state.cell.y, h - 1, (v) => point(state.channel, v, state.cell.x)),
      !vector && numberInput("x", state.cell.x, w - 1, (v) => point(state.channel, state.cell.y, v)),
      numberInput(vector ? "number" : "channel", channel, shape.c - 1, (v) => point(v, state.cell.y, state.cell.x))),
    !vector && el("p", { class: "note hint" }, t("maps.pin"))].filter(Boolean));
}

// spot marks the pinned cell, and the one under the pointer if there is one, and tells its value.
function spot() {
  const figure = byID("map-figure");
  if (!byID("map") || !shown || shown.layer !== state.layer || shown.channel !== state.channel || !figure) return;
  const { h, w, values: numbers } = shown;
  const place = (id, cell) => {
    const box = byID(id);
    box.hidden = !cell;
    if (cell) Object.assign(box.style, { left: `${(100 * cell.x) / w}%`, top: `${(100 * cell.y) / h}%`, width: `${100 / w}%`, height: `${100 / h}%` });
  };
  place("cell-pinned", state.cell);
  place("cell-hover", state.hover);
  const { y, x } = state.hover ?? state.cell;
  const value = real(numbers[y * w + x], 6);
  const vector = h === 1 && w === 1;
  byID("map-caption").textContent = vector ? t(scores(shown.layer) ? "maps.score" : "maps.value", { value }) : t(state.hover ? "maps.hover" : "maps.here", { y, x, value });
}
