// The last step: each class's score, what becomes of it, and which maps add most to it.

import * as api from "./api.js";
import { byID, el, later } from "./dom.js";
import { t, count, percent, real } from "./words.js";
import { className } from "./names.js";
import { state, when, oneScore } from "./state.js";
import { choose, go } from "./address.js";
import { again } from "./picture.js";
import { unit } from "./maps.js";
import { paintShades } from "./colour.js";

const most = 12; // classes shown
const thumbnails = 8;
const temperatures = 20; // steps of the slider by which the temperature becomes ten times as much

let asking = new AbortController();
let adding = new AbortController();
let scores = null; // as the server tells them at the temperature
let chosen = -1; // the class whose parts are shown
let of = null; // the visit that it was chosen in

export function startLast() {
  when("visit language score", renew);
  byID("last-temperature").addEventListener("input", warm);
  byID("last-cold").addEventListener("click", () => setTemperature(0));
}

// temperature is what scores are divided by, in hundredths.
const temperature = () => Math.round(100 * 10 ** (Number(byID("last-temperature").value) / temperatures));

// setTemperature moves the slider to so many of its steps, 0 for a temperature of one.
export function setTemperature(step) {
  byID("last-temperature").value = step;
  warm();
}

const ask = later(40, show);

function warm() {
  tell();
  asking.abort(); // what comes now is of the temperature before
  ask();
}

function tell() {
  const words = real(temperature() / 100, 3);
  byID("last-degrees").textContent = words;
  byID("last-temperature").setAttribute("aria-valuetext", words);
}

async function renew() {
  const { visit } = state;
  byID("last-card").hidden = true;
  byID("last-note").textContent = t("last.none");
  if (!visit) return;
  const asked = visit.classes.find((c) => c.class === state.score);
  if (of !== visit || asked) chosen = (asked ?? visit.classes[0]).class;
  of = visit;
  state.score = null;
  tell();
  await show();
}

async function show() {
  const { visit } = state;
  asking.abort();
  adding.abort();
  if (!visit) return;
  asking = new AbortController();
  try {
    scores = await api.scores(visit.id, { temperature: temperature() }, asking.signal);
  } catch (error) {
    if (error.kind === "not_found") await again();
    else if (error.kind === "bad_request") byID("last-note").textContent = t("last.other"); // an answer of averages
    else api.complain(error);
    return;
  }
  if (visit !== state.visit) return; // another picture was given meanwhile
  byID("last-note").textContent = t(`last.note.${scores.ending}`, { layer: scores.layer });
  byID("last-card").hidden = false;
  table();
  byID("last-sum").textContent = scores.ending === "softmax" ? t("last.sum", { max: real(scores.max, 6), sum: real(scores.sum, 6) }) : t("last.each");
  await adds();
}

// ranked are the classes, the most probable first; the chosen one is among those that are shown.
function ranked() {
  const all = scores.classes.toSorted((a, b) => b.probability - a.probability || a.class - b.class);
  const shown = all.slice(0, most);
  const own = all.find((c) => c.class === chosen);
  if (own && !shown.includes(own)) shown[most - 1] = own;
  return { shown, others: all.filter((c) => !shown.includes(c)) };
}

function table() {
  const { shown, others } = ranked();
  const held = document.activeElement?.dataset?.score;
  const divided = scores.temperature === 1 ? "" : ".warm";
  const heads = ["class", "score", `${scores.ending}${divided}`, "share"];
  const sum = (key) => others.reduce((s, c) => s + c[key], 0);
  byID("last-table").replaceChildren(
    el("thead", {}, el("tr", {}, heads.map((c, i) => el("th", { scope: "col", class: i > 0 && "figure" }, t(`last.col.${c}`))), el("td", {}))),
    el("tbody", {}, shown.map((c) =>
      el("tr", { class: c.class === chosen && "chosen", "data-class": c.class, "data-z": c.score, "data-exp": c.exp, "data-probability": c.probability },
        el("th", { scope: "row" }, el("button", { type: "button", class: "link", "data-score": c.class, "aria-pressed": String(c.class === chosen), onclick: () => pick(c.class) }, className(c.class, c.label))),
        [real(c.score, 5), real(c.exp, 4), percent(c.probability, 2)].map((v) => el("td", { class: "figure" }, v)),
        el("td", { class: "wide" }, el("span", { class: "meter", "aria-hidden": "true" }, el("span", { style: { width: `${100 * c.probability}%` } })))))),
    others.length > 0 && scores.ending === "softmax" ? el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: 2 }, t("last.others", { n: count(others.length) })),
      el("td", { class: "figure" }, real(sum("exp"), 4)), el("td", { class: "figure" }, percent(sum("probability"), 2)), el("td", {}))) : "");
  if (held) document.querySelector(`#last-table [data-score="${held}"]`)?.focus();
}

function pick(n) {
  chosen = n;
  table();
  adds();
}

// adds shows what adds most to the chosen class: maps as thumbnails, or numbers where the layer reads no maps.
async function adds() {
  const box = byID("last-adds");
  adding.abort();
  adding = new AbortController();
  const { visit } = state;
  const channel = oneScore() ? 0 : chosen;
  const label = oneScore() ? 1 : chosen;
  try {
    const cell = await api.cell(visit.id, { layer: scores.layer, channel }, adding.signal);
    if (visit !== state.visit) return;
    if (!cell.terms) return box.replaceChildren(el("p", { class: "note" }, t("last.nosum", { layer: scores.layer })));
    const parts = cell.adds ? cell.adds.map((sum, i) => ({ sum, i })) : cell.terms.map((p) => ({ sum: p.input * p.weight, i: p.index }));
    parts.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
    const shown = parts.slice(0, thumbnails);
    const maps = cell.maps ? await Promise.all(shown.map(({ i }) => api.maps(visit.id, { layer: cell.maps, from: i, count: 1, side: 64 }, adding.signal))) : [];
    const rest = cell.sum - (cell.bias ?? 0) - shown.reduce((s, p) => s + p.sum, 0);
    const number = cell.adds ? cell.adds.length : cell.inputs;
    const words = { class: className(label), layer: cell.maps ?? cell.from, n: count(number) };
    box.dataset.of = chosen;
    box.replaceChildren(el("figure", {},
      el("h3", {}, t("last.adds", words)),
      el("p", { class: "note" }, t(cell.maps ? "last.adds.maps" : "last.adds.numbers", words)),
      el("div", { class: "maps adds", role: "group", "aria-label": t("last.adds", words) }, shown.map((p, at) => part(cell, p, maps[at]))),
      el("dl", { class: "working" }, [
        number > shown.length && [t("last.rest", { n: count(number - shown.length) }), real(rest, 5)],
        cell.bias !== undefined && [t("cell.bias"), real(cell.bias, 5)],
        [t("last.score", words), real(cell.sum, 6)],
      ].filter(Boolean).map(([word, line]) => el("div", {}, el("dt", {}, word), el("dd", {}, line))))));
  } catch (error) {
    if (error.kind === "not_found") await again();
    else api.complain(error);
  }
}

// part is one map with what it adds, a button that leads to it; or one number.
function part(cell, { sum, i }, maps) {
  const added = `${sum < 0 ? "" : "+"}${real(sum, 4)}`;
  if (!maps) return el("div", { class: "map", "data-adds": i, "data-sum": sum }, el("span", {}, unit(cell.from, i)), el("strong", { class: sum < 0 && "less" }, added));
  const canvas = el("canvas", {});
  paintShades(canvas, maps.width, maps.height, api.bytes(maps.pixels));
  const lead = () => {
    state.asked = { layer: cell.maps, channel: i, y: 0, x: 0 };
    choose(cell.maps);
    go("layer");
  };
  return el("button", { type: "button", class: "map", "data-adds": i, "data-sum": sum, onclick: lead },
    canvas, el("span", {}, t("cell.input", { n: i })), " ", el("strong", { class: sum < 0 && "less" }, added));
}
