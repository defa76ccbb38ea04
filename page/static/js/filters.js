// A layer's filters: of the first layer all of them, as colours; of the others the one of the chosen map.

import * as api from "./api.js";
import { byID, el, rove } from "./dom.js";
import { t, count, real } from "./words.js";
import { state, when, ownModel, rowOf } from "./state.js";
import { point } from "./layer.js";
import { paintRGB, paintSigned, largest } from "./colour.js";

let asking = new AbortController();

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
  try {
    if (row.kind === "linear") return await vector(row, panel);
    if (row.in.c <= 3) return await first(row, panel);
    await one(row, panel);
  } catch (error) {
    api.complain(error);
  }
}

const ask = (values) => api.filters(state.model.name, values, asking.signal);

// first shows all filters of a layer that reads the picture.
async function first(row, panel) {
  const told = await ask({ layer: row.name, from: 0, count: row.out.c });
  const [, inputs, h, w] = told.shape;
  const each = inputs * h * w;
  const most = largest(told.data);
  const grid = el("div", { class: "maps", role: "group", "aria-label": t("filters.label", { layer: row.name }) }, Array.from({ length: row.out.c }, (_, o) => {
    const canvas = el("canvas", {});
    const values = told.data.slice(o * each, (o + 1) * each);
    if (inputs === 3) paintRGB(canvas, w, h, values, most, state.model.preprocess.channel_order === "bgr");
    else paintSigned(canvas, w, h * inputs, values, most);
    return el("button", { type: "button", class: "map filter", tabindex: o === state.channel ? 0 : -1, "aria-pressed": String(o === state.channel), "data-channel": o, "aria-label": t("filters.one", { n: o }),
      onclick: () => point(o, state.cell.y, state.cell.x) }, canvas, el("span", { "aria-hidden": "true" }, String(o)));
  }));
  if (!grid.querySelector("[tabindex='0']")) grid.firstChild?.setAttribute("tabindex", "0");
  rove(grid, ".map");
  panel.replaceChildren(el("p", { class: "note" }, t(inputs === 3 ? "filters.rgb" : "filters.grey", { h, w })), grid);
}

// one shows the chosen map's filter: a small kernel for each map that it reads.
async function one(row, panel) {
  const told = await ask({ layer: row.name, from: state.channel, count: 1 });
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
  const most = largest(told.data);
  const canvas = el("canvas", { role: "img", class: "kernels", "aria-label": t("filters.kernels", { inputs: count(inputs), h, w, layer: row.name, n: state.channel }) });
  paintSigned(canvas, width, height, values, most);
  panel.replaceChildren(el("p", { class: "note" }, t("filters.kernels", { inputs: count(inputs), h, w, layer: row.name, n: state.channel })),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("tab.filters") }, canvas),
    el("p", { class: "note" }, t("filters.signed", { most: real(most) })));
}

// vector shows a fully connected unit's weights, a pixel each.
async function vector(row, panel) {
  const told = await ask({ layer: row.name, from: state.channel, count: 1 });
  const inputs = told.shape[1];
  const width = Math.ceil(Math.sqrt(inputs * 2));
  const height = Math.ceil(inputs / width);
  const most = largest(told.data);
  const values = new Float32Array(width * height);
  values.set(told.data);
  const canvas = el("canvas", { role: "img", class: "kernels", "aria-label": t("filters.unit", { inputs: count(inputs), n: state.channel }) });
  paintSigned(canvas, width, height, values, most);
  panel.replaceChildren(el("p", { class: "note" }, t("filters.unit", { inputs: count(inputs), n: state.channel })), canvas, el("p", { class: "note" }, t("filters.signed", { most: real(most) })));
}
