// A layer's filters: of the first layer all of them, as colours; of the others the one of the chosen map.

import * as api from "./api.js";
import { byID, el, rove } from "./dom.js";
import { t, count, real } from "./words.js";
import { state, when, ownModel, rowOf, firstLayer } from "./state.js";
import { point } from "./layer.js";
import { unit } from "./maps.js";
import { paintRGB, paintSigned, largest } from "./colour.js";

const most = 1 << 18; // weights that the server tells at once
const page = 64; // filters shown at once

let asking = new AbortController();
let from = 0;
let of = ""; // the layer whose filters are shown from there on

export function startFilters() {
  when("cell", () => {
    const panel = byID("panel-filters");
    if (panel && !panel.hidden) showFilters(rowOf(state.report, state.layer));
  });
}

export async function showFilters(row) {
  asking.abort();
  asking = new AbortController();
  const panel = byID("panel-filters");
  const say = (words) => panel.replaceChildren(el("p", { class: "note" }, words));
  if (row.kind !== "conv" && row.kind !== "linear") return say(t("filters.none", { layer: row.name }));
  if (!ownModel()) return say(t("layer.other"));
  if (of !== `${state.model.name} ${row.name}`) from = 0;
  of = `${state.model.name} ${row.name}`;
  const channel = Math.min(state.channel, row.out.c - 1);
  const each = row.weights / row.out.c;
  if (each > most) return say(t("filters.many", { layer: row.name, n: count(each) }));
  try {
    if (row.kind === "linear") return await vector(row, panel, channel);
    if (row.name === firstLayer() && each <= most / page) return await first(row, panel, channel);
    await one(row, panel, channel);
  } catch (error) {
    api.complain(error);
  }
}

const ask = (values) => api.filters(state.model.name, values, asking.signal);

// first shows the filters of the layer that reads the picture, a page of them at a time.
async function first(row, panel, channel) {
  const n = Math.min(page, row.out.c - from);
  const told = await ask({ layer: row.name, from, count: n });
  const [, inputs, h, w] = told.shape;
  const each = inputs * h * w;
  const full = largest(told.data);
  const colours = inputs === 3 && state.model.input.c === 3;
  const grid = el("div", { class: "maps", role: "group", "aria-label": t("filters.label", { layer: row.name }) }, Array.from({ length: n }, (_, i) => {
    const o = from + i;
    const canvas = el("canvas", {});
    const values = told.data.slice(i * each, (i + 1) * each);
    if (colours) paintRGB(canvas, w, h, values, full, state.model.preprocess.channel_order === "bgr");
    else paintSigned(canvas, w, h * inputs, values, full);
    return el("button", { type: "button", class: "map filter", tabindex: o === channel ? 0 : -1, "aria-pressed": String(o === channel), "data-channel": o, "aria-label": t("filters.one", { n: o }),
      onclick: () => point(o, state.cell.y, state.cell.x) }, canvas, el("span", { "aria-hidden": "true" }, String(o)));
  }));
  if (!grid.querySelector("[tabindex='0']")) grid.firstChild?.setAttribute("tabindex", "0");
  rove(grid, ".map");
  const turn = (by) => () => { from += by; showFilters(row); };
  panel.replaceChildren(...[el("p", { class: "note" }, t(colours ? "filters.rgb" : "filters.grey", { h, w })),
    row.out.c > page && el("div", { class: "row" }, el("span", {}, t("maps.range", { from: count(from + 1), to: count(from + n), all: count(row.out.c) })),
      el("button", { type: "button", disabled: from === 0, onclick: turn(-page) }, t("maps.before")),
      el("button", { type: "button", disabled: from + n >= row.out.c, onclick: turn(page) }, t("maps.after"))),
    el("figure", {}, grid)].filter(Boolean));
}

// one shows the chosen map's filter: a small kernel for each map that it reads.
async function one(row, panel, channel) {
  const told = await ask({ layer: row.name, from: channel, count: 1 });
  const [, inputs, h, w] = told.shape;
  const columns = Math.ceil(Math.sqrt(inputs * 2));
  const lines = Math.ceil(inputs / columns);
  const width = columns * (w + 1) - 1;
  const height = lines * (h + 1) - 1;
  const values = new Float32Array(width * height);
  told.data.forEach((v, i) => {
    const [tile, y, x] = [Math.floor(i / (h * w)), Math.floor((i % (h * w)) / w), i % w];
    values[(Math.floor(tile / columns) * (h + 1) + y) * width + (tile % columns) * (w + 1) + x] = v;
  });
  const full = largest(told.data);
  const words = t("filters.kernels", { inputs: count(inputs), h, w, layer: row.name, n: channel });
  const canvas = el("canvas", { role: "img", class: "kernels", "aria-label": words, "data-channel": channel });
  paintSigned(canvas, width, height, values, full);
  panel.replaceChildren(el("p", { class: "note" }, words),
    el("figure", {}, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": words }, canvas), el("p", { class: "note" }, t("filters.signed", { most: real(full) }))));
}

// vector shows a fully connected unit's weights, a pixel each.
async function vector(row, panel, channel) {
  const told = await ask({ layer: row.name, from: channel, count: 1 });
  const inputs = told.shape[1];
  const width = Math.ceil(Math.sqrt(inputs * 2));
  const height = Math.ceil(inputs / width);
  const full = largest(told.data);
  const values = new Float32Array(width * height);
  values.set(told.data);
  const words = t("filters.unit", { inputs: count(inputs), unit: unit(row.name, channel) });
  const canvas = el("canvas", { role: "img", class: "kernels", "aria-label": words, "data-channel": channel });
  paintSigned(canvas, width, height, values, full);
  panel.replaceChildren(el("p", { class: "note" }, words), el("figure", {}, canvas, el("p", { class: "note" }, t("filters.signed", { most: real(full) }))));
}
