// The chosen layer: its numbers, this picture's maps, the filters, and one cell with what it sees and what it is made of.

import { byID, el, rove } from "./dom.js";
import { t, has } from "./words.js";
import { operation } from "./names.js";
import { state, tell, when, rows, rowOf, ownModel, groupOf } from "./state.js";
import { choose, go } from "./address.js";
import { numberOf } from "./table.js";
import { startMaps, showMaps } from "./maps.js";
import { startFilters, showFilters } from "./filters.js";
import { startExcite, showExcite } from "./excite.js";
import { startCell, showCell } from "./cell.js";
import { startField, showField } from "./field.js";

const tabs = ["maps", "filters", "excite"];
let held = {}; // whose map and cell are chosen: {layer, model, file}

export function startLayer() {
  startMaps();
  startFilters();
  startExcite();
  startCell();
  startField();
  when("layer report visit language", show);
  when("show", () => {
    if (tabs.includes(state.show)) {
      state.tab = state.show;
      show();
    }
  });
}

function show() {
  const { report } = state;
  if (!report || !state.layer) return;
  const row = rowOf(report, state.layer);
  if (!row) return;
  byID("layer-title").textContent = t("layer.named", { name: row.name });
  const all = rows(report);
  const i = all.findIndex((r) => r.name === row.name);
  const step = (to, word, id) => el("button", { type: "button", id, disabled: !all[to], onclick: () => { choose(all[to].name); byID(id).focus(); } }, t(word, { name: all[to]?.name ?? "" }));
  const look = Boolean(ownModel() && state.visit && groupOf(row.name));
  byID("layer-note").textContent = look ? does(row) : t(!ownModel() ? "layer.other" : !state.visit ? "layer.nopicture" : row.kind === "softmax" || row.kind === "sigmoid" ? "layer.softmax" : "layer.handson");
  byID("layer-card").replaceChildren(
    el("div", { class: "row spread" },
      el("dl", { class: "facts" },
        [["operation", operation([row, ...row.after].map((l) => l.operation).join(", "))], ...["size", "weights", "biases", "macs", "memory", "field"].map((q) => [q, numberOf(row, q)])]
          .filter(([, v]) => typeof v === "string" || !v.classList.contains("blank"))
          .map(([q, v]) => el("div", {}, el("dt", {}, t(`col.${q}`)), el("dd", {}, v)))),
      el("div", { class: "row" }, stacked(all, i) && el("button", { type: "button", class: "link", onclick: () => go("lab") }, t("lab.link")), step(i - 1, "layer.before", "layer-before"), step(i + 1, "layer.after", "layer-after"))),
    el("div", { id: "look", class: "look", hidden: !look },
      el("figure", { id: "field-figure" }), el("figure", { id: "map-figure" }), el("div", { id: "cell" })),
    el("div", { class: "tabs", role: "tablist", "aria-label": t("layer.tabs") },
      tabs.map((name) => el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, "aria-selected": String(name === state.tab), tabindex: name === state.tab ? 0 : -1, onclick: () => pick(name) }, t(`tab.${name}`)))),
    ...tabs.map((name) => el("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: name !== state.tab, tabindex: 0 })));
  rove(byID("layer-card").querySelector("[role=tablist]"), "[role=tab]", (b) => pick(b.id.slice(4)));
  fill(row, look);
}

// stacked says whether a convolution stands beside another one: then the two see what a larger one does.
const stacked = (all, i) => all[i].kind === "conv" && (all[i - 1]?.kind === "conv" || all[i + 1]?.kind === "conv");

// does says what the layer computes, and what is computed together with it: what is shown is the output of the last of these.
function does(row) {
  const { layers } = groupOf(row.name);
  const kind = (name) => state.report.layers.find((l) => l.name === name)?.kind;
  const words = [];
  const said = `layer.does.${row.kind}`;
  if (has(said)) words.push(t(said));
  if (row.kind === "maxpool" && (row.out.h < row.in.h || row.out.w < row.in.w)) words.push(t("layer.does.smaller"));
  const others = layers.filter((name) => name !== row.name).map(kind);
  if (row.kind === "relu" || row.kind === "batchnorm") {
    const before = layers.slice(0, layers.indexOf(row.name));
    if (before.length > 0) words.push(t("layer.does.with", { name: before[0], last: layers.at(-1) }));
    if (row.kind === "batchnorm" && others.includes("relu")) words.push(t("layer.does.thenrelu"));
    return words.join("");
  }
  if (others.includes("batchnorm")) words.push(t("layer.does.thennorm"));
  if (others.includes("relu")) words.push(t("layer.does.thenrelu"));
  return words.join("");
}

function pick(name) {
  state.tab = name;
  for (const one of tabs) {
    byID(`panel-${one}`).hidden = one !== name;
    byID(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    byID(`tab-${one}`).setAttribute("tabindex", one === name ? "0" : "-1");
  }
  const row = rowOf(state.report, state.layer);
  if (name === "filters") showFilters(row);
  if (name === "excite") showExcite(row);
  tell("tab");
}

// fill asks for what the layer shows. Another layer chosen meanwhile wins. The map and the cell stay where only the language changed or
// the same picture was sent again, and are those of the address where it names some; what another layer had may not exist here.
async function fill(row, look) {
  const now = { layer: row.name, model: state.model.name, file: state.visit?.file };
  const asked = state.asked?.layer === row.name && state.visit ? state.asked : null;
  const stays = held.layer === now.layer && held.model === now.model && held.file === now.file && look && state.pinned;
  if (!stays) Object.assign(state, { channel: 0, cell: { y: 0, x: 0 }, pinned: false, input: -1 });
  state.hover = null;
  if (asked) {
    const { c, h, w } = groupOf(row.name)?.shape ?? row.out;
    if (asked.channel < c && asked.y < h && asked.x < w) Object.assign(state, { channel: asked.channel, cell: { y: asked.y, x: asked.x }, input: asked.input ?? -1 });
    else state.asked = null;
  }
  const wanted = stays || Boolean(asked && state.asked);
  if (state.visit) {
    state.asked = null;
    held = now;
  }
  if (state.tab === "filters") showFilters(row);
  if (!look) {
    if (state.tab === "excite") showExcite(row);
    byID("panel-maps").replaceChildren(el("p", { class: "note" }, byID("layer-note").textContent));
    return;
  }
  showField();
  showCell();
  await showMaps(row, wanted);
}

// point pins a cell of a channel: it is the one that is worked out.
export function point(channel, y, x) {
  if (channel !== state.channel) state.input = -1;
  Object.assign(state, { channel, cell: { y, x }, pinned: true, hover: null });
  tell("cell");
}

// preview looks at a cell for as long as the pointer is on it.
export function preview(cell) {
  if (cell?.y === state.hover?.y && cell?.x === state.hover?.x) return;
  state.hover = cell;
  tell("hover");
}
