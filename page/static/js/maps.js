// A layer's maps of this picture: small ones to choose from, and the chosen one large, on which a cell is pointed at.

import * as api from "./api.js";
import { byID, el, rove } from "./dom.js";
import { t, count, real } from "./words.js";
import { state, when, stageOf } from "./state.js";
import { point } from "./layer.js";
import { again } from "./picture.js";
import { paintShades, paintMap } from "./colour.js";

const page = 64; // maps shown at once
const most = 448; // pixels of the large map's longer side

let order = "strength";
let from = 0;
let asking = new AbortController();
let shown = null; // {layer, channel, h, w, values}

export function startMaps() {
  when("cell", () => {
    if (!byID("map-figure") || !state.visit) return;
    mark();
    large();
  });
}

// showMaps shows the layer's maps from the first on, and looks at the largest value of the strongest.
export async function showMaps(row) {
  const { visit } = state;
  const stale = () => visit !== state.visit || row.name !== state.layer; // something else was chosen meanwhile
  from = 0;
  shown = null;
  const maps = await ask(row.name);
  if (!maps || stale()) return;
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
  const stage = stageOf(layer);
  if (!stage) return null;
  try {
    const { shape } = stage;
    const side = shape.h * shape.w > 1 ? 64 : 1;
    const maps = await api.maps(state.visit.id, { layer, order, from, count: side > 1 ? page : 256, side }, asking.signal);
    if (shape.h === 1 && shape.w === 1) await vector(layer, maps);
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
      el("select", { id: "order", onchange: async (event) => { order = event.target.value; from = 0; await ask(layer); byID("order").focus(); } },
        ["strength", "channel"].map((o) => el("option", { value: o, selected: o === order }, t(`maps.order.${o}`))))),
    el("span", { class: "row" },
      el("span", {}, t("maps.range", { from: count(from + 1), to: count(Math.min(from + page, shape.c)), all: count(shape.c) })),
      el("button", { type: "button", disabled: from === 0, onclick: turn(-page) }, t("maps.before")),
      el("button", { type: "button", disabled: from + page >= shape.c, onclick: turn(page) }, t("maps.after"))));
}

function small(layer, maps) {
  const area = maps.width * maps.height;
  const pixels = Uint8Array.from(atob(maps.pixels), (c) => c.charCodeAt(0));
  const grid = el("div", { class: "maps", role: "group", "aria-label": t("maps.label", { layer }) },
    maps.channels.map((c, i) => {
      const canvas = el("canvas", {});
      paintShades(canvas, maps.width, maps.height, pixels.subarray(i * area, (i + 1) * area));
      return el("button", { type: "button", class: "map", "data-channel": c.channel, tabindex: -1, "aria-label": t("maps.one", { n: c.channel, min: real(c.min), max: real(c.max) }),
        onclick: () => point(c.channel, state.cell.y, state.cell.x) }, canvas, el("span", { "aria-hidden": "true" }, String(c.channel)));
    }));
  rove(grid, ".map");
  byID("panel-maps").replaceChildren(controls(layer, maps.shape), grid, el("p", { class: "note" }, t("maps.note")));
  mark();
}

// vector shows a fully connected layer's values as bars.
async function vector(layer, maps) {
  const all = await api.map(state.visit.id, { layer }, asking.signal);
  const height = Math.max(...all.values.map(Math.abs)) || 1;
  const rowsOf = maps.channels.slice(0, 24).map((c) =>
    el("li", {}, el("button", { type: "button", class: "map line", "data-channel": c.channel, onclick: () => point(c.channel, 0, 0) }, t("maps.unit", { n: c.channel })),
      el("span", { class: "figure" }, real(all.values[c.channel])),
      el("span", { class: "meter", "aria-hidden": "true" }, el("span", { style: { width: `${(100 * Math.abs(all.values[c.channel])) / height}%` } }))));
  byID("panel-maps").replaceChildren(el("p", { class: "note" }, t("maps.vector", { n: count(maps.shape.c), shown: rowsOf.length })), el("ol", { class: "units" }, rowsOf));
  mark();
}

// values are one map's; null when another was asked for meanwhile.
async function values(layer, channel) {
  if (!state.visit) return null;
  if (shown?.layer === layer && shown.channel === channel) return shown;
  try {
    const map = await api.map(state.visit.id, { layer, channel }, asking.signal);
    if (layer !== state.layer) return null;
    shown = { layer, channel, h: map.shape[0], w: map.shape[1] ?? 1, values: map.values };
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

// large shows the chosen map, with the cell marked. The pointer and the arrow keys move it.
async function large() {
  const layer = state.layer;
  const map = await values(layer, state.channel);
  const figure = byID("map-figure");
  const stage = stageOf(layer);
  if (!map || !stage || layer !== state.layer || !figure) return;
  const { h, w } = map;
  state.cell.y = Math.min(state.cell.y, h - 1);
  state.cell.x = Math.min(state.cell.x, w - 1);
  let canvas = byID("map");
  if (!canvas || canvas.dataset.layer !== layer || Number(canvas.dataset.channel) !== state.channel) {
    canvas = el("canvas", { id: "map", "data-layer": layer, "data-channel": state.channel });
    paintMap(canvas, w, h, map.values);
    const cell = el("span", { class: "cell", "aria-hidden": "true" });
    const pad = el("div", { class: "pad", id: "pad", tabindex: 0, role: "application", "aria-label": t("maps.pad", { layer, channel: state.channel }), "aria-describedby": "map-caption" }, canvas, cell);
    pad.style.setProperty("aspect-ratio", `${w} / ${h}`);
    pad.style.setProperty("max-width", `${Math.min(most, Math.max(w * 24, 120))}px`);
    const spot = (event) => {
      const r = canvas.getBoundingClientRect();
      const x = Math.min(Math.max(Math.floor(((event.clientX - r.left) / r.width) * w), 0), w - 1);
      const y = Math.min(Math.max(Math.floor(((event.clientY - r.top) / r.height) * h), 0), h - 1);
      if (x !== state.cell.x || y !== state.cell.y) point(state.channel, y, x);
    };
    pad.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") spot(event); });
    pad.addEventListener("pointerdown", spot);
    pad.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const by = event.shiftKey ? 8 : 1;
      point(state.channel, Math.min(Math.max(state.cell.y + by * step[0], 0), h - 1), Math.min(Math.max(state.cell.x + by * step[1], 0), w - 1));
    });
    const numberInput = (id, value, top, set) => el("label", { class: "field" }, t(`maps.${id}`), " ",
      el("input", { type: "number", id: `cell-${id}`, min: 0, max: top, value, onchange: (event) => set(Math.min(Math.max(Number(event.target.value) || 0, 0), top)) }));
    figure.replaceChildren(el("h3", {}, t("maps.large", { layer, channel: state.channel })), pad,
      el("figcaption", { id: "map-caption" }),
      el("div", { class: "row" },
        numberInput("y", state.cell.y, h - 1, (v) => point(state.channel, v, state.cell.x)),
        numberInput("x", state.cell.x, w - 1, (v) => point(state.channel, state.cell.y, v)),
        numberInput("channel", state.channel, stage.shape.c - 1, (v) => point(v, state.cell.y, state.cell.x))));
  }
  const { y, x } = state.cell;
  Object.assign(figure.querySelector(".cell").style, { left: `${(100 * x) / w}%`, top: `${(100 * y) / h}%`, width: `${100 / w}%`, height: `${100 / h}%` });
  byID("cell-y").value = y;
  byID("cell-x").value = x;
  byID("map-caption").textContent = t("maps.here", { y, x, value: real(map.values[y * w + x], 6) });
}
