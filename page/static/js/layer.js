// The chosen layer: its numbers, this picture's maps, the filters, and one cell with what it sees and what it is made of.

import { byID, el, rove } from "./dom.js";
import { t } from "./words.js";
import { state, tell, when, rows, rowOf, ownModel, stageOf } from "./state.js";
import { choose } from "./address.js";
import { numberOf } from "./table.js";
import { startMaps, showMaps } from "./maps.js";
import { startFilters, showFilters } from "./filters.js";
import { startCell, showCell } from "./cell.js";
import { startField, showField } from "./field.js";

const tabs = ["maps", "filters"];
let tab = "maps";

export function startLayer() {
  startMaps();
  startFilters();
  startCell();
  startField();
  when("layer report visit language", show);
  when("show", () => {
    if (tabs.includes(state.show)) {
      tab = state.show;
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
  const note = byID("layer-note");
  const look = Boolean(ownModel() && state.visit && stageOf(row.name));
  note.textContent = look ? t(`layer.does.${row.kind}`) : t(!ownModel() ? "layer.other" : !state.visit ? "layer.nopicture" : row.kind === "softmax" ? "layer.softmax" : "layer.handson");
  byID("layer-card").replaceChildren(
    el("div", { class: "row spread" },
      el("dl", { class: "facts" },
        [["operation", [row, ...row.after].map((l) => l.operation).join(", ")], ...["size", "weights", "biases", "macs", "memory", "field"].map((q) => [q, numberOf(row, q)])]
          .filter(([, v]) => typeof v === "string" || !v.classList.contains("blank"))
          .map(([q, v]) => el("div", {}, el("dt", {}, t(`col.${q}`)), el("dd", {}, v)))),
      el("div", { class: "row" }, step(i - 1, "layer.before", "layer-before"), step(i + 1, "layer.after", "layer-after"))),
    el("div", { id: "look", class: "look", hidden: !look },
      el("figure", { id: "field-figure" }), el("figure", { id: "map-figure" }), el("div", { id: "cell" })),
    el("div", { class: "tabs", role: "tablist", "aria-label": t("layer.tabs") },
      tabs.map((name) => el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, "aria-selected": String(name === tab), tabindex: name === tab ? 0 : -1, onclick: () => pick(name) }, t(`tab.${name}`)))),
    ...tabs.map((name) => el("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: name !== tab, tabindex: 0 })));
  rove(byID("layer-card").querySelector("[role=tablist]"), "[role=tab]", (b) => pick(b.id.slice(4)));
  fill(row, look);
}

function pick(name) {
  tab = name;
  for (const one of tabs) {
    byID(`panel-${one}`).hidden = one !== name;
    byID(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    byID(`tab-${one}`).setAttribute("tabindex", one === name ? "0" : "-1");
  }
  const row = rowOf(state.report, state.layer);
  if (name === "filters") showFilters(row);
}

// fill asks for what the layer shows. Another layer chosen meanwhile wins.
async function fill(row, look) {
  if (tab === "filters") showFilters(row);
  if (!look) {
    byID("panel-maps").replaceChildren(el("p", { class: "note" }, byID("layer-note").textContent));
    return;
  }
  Object.assign(state, { channel: 0, cell: { y: 0, x: 0 }, input: -1 }); // those of another layer may not exist here
  showField();
  showCell();
  await showMaps(row);
}

// point makes a channel and a cell of it the ones that are looked at.
export function point(channel, y, x) {
  if (channel !== state.channel) state.input = -1;
  Object.assign(state, { channel, cell: { y, x } });
  tell("cell");
}
