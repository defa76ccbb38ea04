// What excites a channel: its strongest parts of the pictures that are here, and a picture that grows until it excites it.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, count, real } from "./words.js";
import { state, when, groupOf, rowOf } from "./state.js";
import { className } from "./names.js";
import { unit } from "./maps.js";
import { examples, exampleFile } from "./picture.js";

const iterations = 64; // a picture grows for at once
const most = 16; // of them that are asked for at once
const strongest = 9;

let found = null; // {of, file, name, pictures, patches}: a channel's parts, null while they are searched; name is of the set that they are of, if the server has one
let grown = null; // {of, from, done, goal, first, last, picture, running}: a picture that grows
let searching = new AbortController();
let growing = new AbortController();
let noises = 0; // that pictures grew from

export function startExcite() {
  when("cell", () => {
    if (byID("panel-excite") && !byID("panel-excite").hidden) showExcite(rowOf(state.report, state.layer));
  });
}

// at is the channel at hand: of the layer whose maps are shown, and of the row's own output, which has a gradient where its ReLU has none.
function at(row) {
  return { model: state.model.name, layer: groupOf(row.name).layers.at(-1), own: row.name, channel: state.channel };
}

const same = (a, b) => a && a.model === b.model && a.own === b.own && a.channel === b.channel;

export function showExcite(row) {
  const panel = byID("panel-excite");
  if (!groupOf(row.name)) {
    panel.replaceChildren(el("p", { class: "note" }, byID("layer-note").textContent));
    return;
  }
  const of = at(row);
  if (!same(grown?.of, of)) {
    growing.abort();
    grown = null;
  }
  panel.replaceChildren(
    el("div", { role: "group", "aria-labelledby": "patches-title" }, el("h3", { id: "patches-title" }, t("excite.patches", { what: named(of) })), el("div", { id: "patches", "aria-live": "polite" })),
    el("div", { role: "group", "aria-labelledby": "dream-title" }, el("h3", { id: "dream-title" }, t("excite.dream")), el("p", { class: "note" }, t("excite.dream.note", { what: named(of) })),
      el("div", { class: "row" },
        el("button", { type: "button", id: "dream-noise", onclick: () => { noises++; grow(of, "noise"); } }, t("excite.noise")),
        el("button", { type: "button", id: "dream-picture", onclick: () => grow(of, "picture", state.file) }, t("excite.picture")),
        el("button", { type: "button", id: "dream-more", onclick: () => grow(of, grown.from, grown.picture) }, t("excite.more")),
        el("button", { type: "button", id: "dream-stop", onclick: () => growing.abort() }, t("excite.stop"))),
      el("figure", { id: "dream" }, el("img", { id: "dream-shown", alt: "" }), el("progress", { id: "dream-progress", "aria-label": t("excite.progress") }), el("figcaption", { id: "dream-caption" }))));
  drawGrown();
  if (same(found?.of, of) && found.file === state.file) drawFound();
  else search(of);
}

// named is the channel in words: the class whose score it is, or its number.
const named = (of) => {
  const { h, w } = groupOf(of.own).shape;
  return h * w === 1 ? unit(of.own, of.channel) : t("excite.channel", { layer: of.layer, n: of.channel });
};

// search looks for the strongest parts: of Fashion-MNIST's pictures for a network that takes grey ones, where the server has them, else of
// the page's examples and the picture at hand, one after the other.
async function search(of) {
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  const asked = { layer: of.layer, channel: of.channel };
  const mine = { of, file: state.file, patches: null };
  found = mine;
  drawFound();
  try {
    const all = [];
    if (state.model.input.c === 1 && (await api.trainOffer()).on) {
      const told = await api.patches(of.model, { ...asked, count: strongest }, undefined, signal);
      Object.assign(mine, { name: told.of, pictures: told.pictures });
      all.push(...told.patches);
    } else {
      const own = state.example ? [] : [null];
      for (const example of [...own, ...examples]) {
        const file = example ? await (await fetch(exampleFile(example), { signal })).blob() : mine.file;
        const told = await api.patches(of.model, { ...asked, count: 1 }, file, signal);
        all.push({ ...told.patches[0], example });
      }
      all.sort((a, b) => b.value - a.value);
    }
    mine.patches = all;
    if (found === mine) drawFound();
  } catch (error) {
    if (found === mine) found = null;
    if (error.name !== "AbortError" && byID("patches")) byID("patches").replaceChildren();
    api.complain(error, error.after ? () => search(of) : undefined);
  }
}

function drawFound() {
  const box = byID("patches");
  if (!box) return;
  const { patches, name, pictures, of } = found;
  box.dataset.of = patches ? `${of.layer} ${of.channel}` : "";
  if (!patches) return box.replaceChildren(el("p", { class: "note" }, t("why.running")));
  const words = name ? t("excite.patches.set", { n: count(pictures), name }) : t(patches.length > examples.length ? "excite.patches.own" : "excite.patches.examples");
  box.replaceChildren(el("p", { class: "note" }, words),
    el("ul", { class: "patches" }, patches.map((p) => {
      const called = p.name ? className(-1, p.name) : p.example ? t(`excite.example.${p.example}`) : t("excite.yours");
      const [x0, y0, x1, y1] = p.box;
      return el("li", {}, el("img", { src: `data:image/png;base64,${p.picture}`, alt: t("excite.part", { name: called, y0, y1: y1 - 1, x0, x1: x1 - 1 }), "data-value": p.value }),
        el("span", {}, called), el("span", { class: "figure" }, real(p.value)));
    })));
}

// grow lets a picture grow, a few iterations at a time, from a file, or from noise where there is none.
async function grow(of, from, file) {
  growing.abort();
  growing = new AbortController();
  const { signal } = growing;
  const before = file && file === grown?.picture ? grown : { done: 0 };
  const mine = { of, from, done: before.done, goal: before.done + iterations, first: before.first, last: before.last, picture: file, shown: before.shown, running: true };
  grown = mine;
  const waiting = document.activeElement?.closest("#panel-excite button");
  drawGrown();
  if (waiting?.hidden) byID("dream-stop").focus();
  try {
    let n = 4; // at once: fewer where they take long
    while (mine.done < mine.goal) {
      const began = performance.now();
      const told = await api.dream(of.model, { layer: of.own, channel: of.channel, iterations: Math.min(n, mine.goal - mine.done), seed: 1000 * noises + mine.done + 1 }, mine.picture, signal);
      const took = performance.now() - began;
      n = took > 1500 ? Math.max(n >> 1, 1) : took < 500 ? Math.min(2 * n, most) : n;
      Object.assign(mine, { done: mine.done + told.iterations, first: mine.first ?? told.first, last: told.last, shown: told.picture, picture: new Blob([api.bytes(told.picture)], { type: "image/png" }) });
      drawGrown();
    }
  } catch (error) {
    if (grown === mine && !mine.shown) grown = null;
    api.complain(error, error.after ? () => grow(of, from, mine.picture) : undefined);
  } finally {
    mine.running = false;
    const stopped = document.activeElement?.id === "dream-stop";
    if (grown === mine || !grown) drawGrown();
    if (stopped) byID(grown?.shown ? "dream-more" : "dream-noise")?.focus();
  }
}

function drawGrown() {
  const figure = byID("dream");
  if (!figure) return;
  const running = Boolean(grown?.running);
  for (const id of ["dream-noise", "dream-picture"]) byID(id).hidden = running;
  byID("dream-more").hidden = running || !grown?.shown;
  byID("dream-stop").hidden = !running;
  figure.hidden = !grown;
  if (!grown) return;
  const image = byID("dream-shown");
  image.hidden = !grown.shown;
  image.classList.toggle("pixels", state.model.input.w < 128);
  if (grown.shown) image.src = `data:image/png;base64,${grown.shown}`;
  image.alt = t("excite.dream.alt", { what: named(grown.of) });
  Object.assign(byID("dream-progress"), { max: grown.goal, value: grown.done });
  byID("dream-progress").hidden = !running;
  figure.dataset.done = grown.done;
  byID("dream-caption").textContent = grown.shown ? t(`excite.grown.${grown.from}`, { n: count(grown.done), layer: grown.of.own, first: real(grown.first), last: real(grown.last) }) : t("why.running");
}
