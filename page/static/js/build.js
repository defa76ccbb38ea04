// Build your own: a layer list, as text or piece by piece, and what it comes to.

import * as api from "./api.js";
import { byID, el, later } from "./dom.js";
import { t, count, bytes, size } from "./words.js";
import { said } from "./faults.js";
import { state, when, rows } from "./state.js";
import { draw } from "./network.js";
import { go } from "./address.js";

const presets = {
  small: "32x32x3:64,64,M,128,128,M/256,10",
  vgg16: "224x224x3:64,64,M,128,128,M,256,256,256,M,512,512,512,M,512,512,512,M/4096,4096,1000",
  deep: "64x64x3:32b,32b,M,64b,64b,M,128b,128b,M,G/10",
  broken: "32x32x3:64,M,M,M,M,M,M,128/10",
};
const others = ["vgg16", "alexnet"]; // to compare with

let text = presets.small;
let asking;
let compared = null;

export function startBuild() {
  form();
  when("language", () => {
    form();
    work();
  });
  when("models", work);
  when("show", () => {
    if (state.show === "build" && state.source?.build) {
      text = state.source.build;
      form();
      work();
    }
  });
}

function form() {
  const area = el("textarea", { id: "build-text", rows: 3, spellcheck: "false", autocomplete: "off", "aria-describedby": "build-hint", maxlength: 65536 }, text);
  area.value = text;
  area.addEventListener("input", () => {
    text = area.value;
    pieces();
    asking?.abort(); // what comes now is of the text before
    soon();
  });
  byID("build-form").replaceChildren(
    el("label", { for: "build-text" }, t("build.text")), area,
    el("p", { id: "build-hint", class: "note" }, t("build.hint")),
    el("div", { class: "row", role: "group", "aria-label": t("build.presets") },
      Object.entries(presets).map(([name, value]) => el("button", { type: "button", "data-preset": name, onclick: () => set(value) }, t(`build.preset.${name}`))),
      el("button", { type: "button", "data-preset": "yaml", onclick: describe }, t("build.preset.yaml"))),
    el("div", { id: "pieces", class: "pieces" }));
  pieces();
}

function set(value, focus) {
  text = value;
  byID("build-text").value = value;
  pieces(focus);
  work();
}

// describe turns the list into a description, which says everything and can be edited too.
async function describe() {
  const before = text;
  try {
    const described = await (await api.archFile(text, "yaml")).text();
    if (text === before) set(described);
  } catch (error) {
    complain(error);
  }
}

const isCompact = () => /^\s*[\dxX]+[\dxX\s:,/A-Za-z]*$/.test(text) && !text.includes("\n");

// parts takes a compact string apart: its input, the pieces of its convolution part, and its head.
function parts() {
  const [, input, rest] = /^\s*(?:([\dx]+):)?(.*)$/.exec(text);
  const [convs, head] = rest.split("/");
  return { input, convs: convs.split(",").map((s) => s.trim()), head: head === undefined ? null : head.split(",").map((s) => s.trim()) };
}

const join = (p) => (p.input ? `${p.input}:` : "") + p.convs.join(",") + (p.head ? `/${p.head.join(",")}` : "");

// pieces shows the list as pieces to change, move and take out.
function pieces(focus) {
  const box = byID("pieces");
  if (!isCompact()) {
    box.replaceChildren(el("p", { class: "note" }, t("build.nopieces")));
    return;
  }
  const p = parts();
  const list = (name, items, make) => items.map((item, i) => piece(name, items, item, i, p, make));
  box.replaceChildren(
    el("h3", {}, t("build.convs")),
    el("ol", { class: "chips" }, list("convs", p.convs)),
    el("div", { class: "row" }, ["64", "M", "A", "L", "G"].map((item) =>
      el("button", { type: "button", onclick: () => { p.convs.push(item); set(join(p), `convs-${p.convs.length - 1}`); } }, t("build.add", { what: t(`build.item.${item}`) })))),
    el("h3", {}, t("build.head")),
    el("ol", { class: "chips" }, list("head", p.head ?? [])),
    el("div", { class: "row" }, el("button", { type: "button", onclick: () => { p.head = [...(p.head ?? []), "10"]; set(join(p), `head-${p.head.length - 1}`); } }, t("build.add", { what: t("build.item.fc") }))));
  if (focus) byID(focus)?.focus();
}

function piece(name, items, item, i, p) {
  const id = `${name}-${i}`;
  const word = t("build.piece", { n: i + 1, item });
  const change = (value) => { items[i] = value; set(join(p), id); };
  const move = (by) => { [items[i], items[i + by]] = [items[i + by], items[i]]; set(join(p), `${name}-${i + by}`); };
  const drop = () => {
    items.splice(i, 1);
    if (name === "head" && items.length === 0) p.head = null;
    set(join(p), `${name}-${Math.max(i - 1, 0)}`);
  };
  const kind = name === "head" ? "linear" : /^\d/.test(item) ? "number" : item[0];
  return el("li", { class: `chip chip-${kind}` },
    el("input", { id, value: item, size: Math.max(item.length, 2), "aria-label": word, spellcheck: "false", onchange: (event) => change(event.target.value.trim()) }),
    el("button", { type: "button", "aria-label": t("build.left", { item: word }), disabled: i === 0, onclick: () => move(-1) }, "‹"),
    el("button", { type: "button", "aria-label": t("build.right", { item: word }), disabled: i === items.length - 1, onclick: () => move(1) }, "›"),
    el("button", { type: "button", "aria-label": t("build.drop", { item: word }), onclick: drop }, "×"));
}

function complain(error) {
  if (error.name === "AbortError") return;
  if (error.kind === "silent") return api.complain(error, work);
  byID("build-result").replaceChildren(el("div", { class: "fault", id: "build-fault" }, ...said(error)));
}

const soon = later(300, work);

async function work() {
  asking?.abort();
  asking = new AbortController();
  try {
    compared ??= await Promise.all(others.map((name) => api.archOf(name)));
    show(await api.archOfText(text, {}, asking.signal));
  } catch (error) {
    complain(error);
  }
}

// lines of the comparison: a word, the path in a report, how it is written.
const lines = [
  ["input", (r) => size(r.input)],
  ["weighted", (r) => count(r.total.weighted_layers)],
  ["parameters", (r) => count(r.total.parameters)],
  ["macs", (r) => count(r.total.macs_per_image)],
  ["infer", (r) => bytes(r.memory.infer_bytes)],
  ["train", (r) => bytes(r.memory.train_bytes)],
  ["last", (r) => { const last = rows(r).filter((l) => l.kind === "conv").at(-1); return last ? `${last.name}: ${size(last.out)}` : ""; }],
  ["field", (r) => { const last = rows(r).filter((l) => l.kind === "conv").at(-1); return last ? count(last.field.h.size) : ""; }],
];

function show(report) {
  const all = [report, ...compared];
  const table = el("table", { class: "compare" },
    el("caption", { class: "unseen" }, t("build.compare")),
    el("thead", {}, el("tr", {}, el("td", {}), ["", ...others].map((n) => el("th", { scope: "col", class: "figure" }, n || t("build.yours"))))),
    el("tbody", {}, lines.map(([word, write]) =>
      el("tr", {}, el("th", { scope: "row" }, t(`build.line.${word}`)), all.map((r, i) => el("td", { class: "figure", "data-compare": `${i === 0 ? "yours" : others[i - 1]}.${word}` }, write(r)))))));
  byID("build-result").replaceChildren(
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("build.compare") }, table),
    el("div", { class: "row" },
      el("button", { type: "button", class: "primary", id: "build-draw", onclick: async () => { if (await draw({ build: text })) go("network"); } }, t("build.draw")),
      el("button", { type: "button", id: "build-yaml", onclick: () => take("yaml", "yours.yaml") }, t("build.yaml")),
      el("button", { type: "button", id: "build-svg", onclick: () => take("svg", "yours.svg") }, t("build.svg"))),
    el("p", { class: "note" }, t("build.use")));
}

// take saves the network as a file.
async function take(format, name) {
  try {
    const url = URL.createObjectURL(await api.archFile(text, format));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  } catch (error) {
    complain(error);
  }
}
