// The network to scale: height and depth of a box are a map's pixels, its length its channels. Every box is a button.

import * as api from "./api.js";
import { byID, el, svg, rove, later } from "./dom.js";
import { t, count, percent, size } from "./words.js";
import { operation } from "./names.js";
import { said } from "./faults.js";
import { state, tell, when, rows, kindOf, groupOf, firstLayer, ownModel } from "./state.js";
import { choose, go } from "./address.js";

// The drawing's measures, in its own units.
const width = 1160;
const mapsTop = 8;
const mapsHeight = 210;
const nameTop = mapsTop + mapsHeight + 26;
const barRow = 66;
const barHeight = 34;
const depth = { x: 0.3, y: 0.24 }; // how far a pixel of width goes right and up

export function startNetwork() {
  when("models language", showChoices);
  when("report language", picture);
  when("language", () => { if (!byID("network-error").hidden) complain(); });
  when("layer", mark);
  when("visit", picture);
  byID("which").addEventListener("change", (event) => draw({ network: event.target.value }));
  const change = later(350, () => draw({ ...state.source, input: byID("input").value.trim() || undefined, batch: byID("batch").value === "1" ? undefined : byID("batch").value }));
  byID("input").addEventListener("input", change);
  byID("batch").addEventListener("input", change);
  byID("drawing").addEventListener("click", (event) => {
    const box = event.target.closest("[data-layer]");
    if (!box) return;
    choose(box.dataset.layer);
    go("layer");
  });
  byID("drawing").addEventListener("keydown", (event) => {
    const box = event.target.closest("[data-layer]");
    if (box && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose(box.dataset.layer);
      go("layer");
    }
  });
  rove(byID("drawing"), "g[data-layer]");
}

// showChoices fills the list of networks: the models here, then those built in.
function showChoices() {
  const here = state.models.map((m) => m.name);
  const others = state.networks.filter((n) => !here.includes(n));
  const options = (names) => names.map((n) => el("option", { value: n, selected: state.source?.network === n }, n));
  byID("which").replaceChildren(
    el("optgroup", { label: t("network.here") }, options(here)),
    el("optgroup", { label: t("network.others") }, options(others)),
    el("optgroup", { label: t("network.yours"), hidden: !state.source?.build }, state.source?.build ? [el("option", { value: "", selected: true }, t("network.build"))] : []));
}

let failed = null; // why a network could not be drawn

function complain() {
  const box = byID("network-error");
  box.replaceChildren(...said(failed));
  box.hidden = false;
}

let asking = new AbortController();

// draw works a network out and shows it. What cannot be is explained, and what was shown stays. It is false where
// another network was asked for meanwhile.
export async function draw(source) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const error = byID("network-error");
  const values = { input: source.input, batch: source.batch };
  try {
    const report = source.build ? await api.archOfText(source.build, values, signal) : await api.archOf(source.network, values, signal);
    error.hidden = true;
    state.report = report;
    state.source = source;
    if (!report.layers.some((l) => l.name === state.layer)) state.layer = null;
  } catch (fault) {
    if (signal.aborted) return false;
    if (fault.kind === "silent") {
      api.complain(fault, () => draw(source));
    } else {
      failed = fault;
      complain();
    }
    return true;
  }
  const { input } = state.report;
  if (document.activeElement !== byID("input")) byID("input").value = `${input.h}x${input.w}x${input.c}`;
  if (document.activeElement !== byID("batch")) byID("batch").value = state.report.batch;
  showChoices();
  state.layer ??= firstLayer();
  tell("report");
  tell("layer");
  return true;
}

function picture() {
  const { report } = state;
  if (!report) return;
  const plates = [{ name: "", kind: "input", out: report.input }, ...rows(report)];
  const tallest = Math.max(...plates.map((p) => p.out.h + depth.y * p.out.w));
  const pixel = mapsHeight / tallest;
  const channels = plates.reduce((sum, p) => sum + p.out.c, 0);
  const gap = Math.min(Math.max(420 / plates.length, 18), 44);
  const lean = depth.x * pixel * plates[0].out.w;
  const channel = Math.min(Math.max(width - lean - gap * plates.length - 40, 300) / channels, pixel);
  let x = lean / 2 + 12;
  for (const p of plates) {
    p.length = Math.max(2, channel * p.out.c);
    p.x = x + (gap + p.length) / 2;
    x += gap + p.length;
  }
  const timed = ownModel() && state.visit;
  const bars = [
    ["params", t("network.bar.params"), (p) => (p.weights ?? 0) + (p.biases ?? 0)],
    ["macs", t("network.bar.macs"), (p) => p.macs_per_image ?? 0],
  ];
  if (timed) bars.push(["time", t("network.bar.time"), (p) => (p.name && groupOf(p.name)?.layers[0] === p.name ? groupOf(p.name).seconds : 0)]);
  const barTop = nameTop + 24 + 6.2 * Math.max(8, ...plates.map((p) => p.name.length + String(p.out.c).length));
  const full = x + 40;
  const height = barTop + barRow * bars.length + 6;
  const drawing = svg("svg", { viewBox: `0 0 ${full} ${height}`, width: full, height, role: "group", "aria-label": t("network.title") });
  for (const p of plates) drawing.append(box(p, pixel));
  bars.forEach(([kind, title, value], i) => barRowOf(drawing, plates, barTop + i * barRow, kind, title, value));
  byID("drawing").replaceChildren(el("figure", {}, drawing, legend(plates)));
  mark();
}

function box(p, pixel) {
  const h = Math.max(3, pixel * p.out.h);
  const dx = Math.max(0.6, pixel * depth.x * p.out.w);
  const dy = Math.max(0.5, pixel * depth.y * p.out.w);
  const x0 = p.x - p.length / 2 - dx / 2;
  const x1 = x0 + p.length;
  const y0 = mapsTop + mapsHeight / 2 - h / 2 + dy / 2;
  const y1 = y0 + h;
  const kind = kindOf(p);
  const faces = [
    svg("rect", { class: "reach", x: x0 - 5, y: Math.min(y0 - dy, y1) - 5, width: x1 + dx - x0 + 10, height: y1 - y0 + dy + 10 }),
    svg("path", { class: "face top", d: `M${x0} ${y0}h${p.length}l${dx} ${-dy}h${-p.length}z` }),
    svg("path", { class: "face side", d: `M${x1} ${y0}l${dx} ${-dy}v${h}l${-dx} ${dy}z` }),
    svg("path", { class: "face front", d: `M${x0} ${y0}H${x1}V${y1}H${x0}z` }),
    svg("text", { class: "name", transform: `translate(${p.x + 4} ${nameTop}) rotate(-90)`, "text-anchor": "end" },
      p.name || t("network.picture"), svg("tspan", { class: "channels" }, ` ${p.out.c}`)),
  ];
  if (!p.name) return svg("g", { class: "box k-input" }, svg("title", {}, `${t("network.picture")} ${size(p.out)}`), faces);
  const words = t("network.box", { name: p.name, c: p.out.c, operation: operation(p.operation), size: size(p.out), params: count(p.weights + p.biases), macs: count(p.macs_per_image) });
  return svg("g", { class: `box k-${kind}`, role: "button", tabindex: -1, "data-layer": p.name, "aria-label": words }, svg("title", {}, words), faces);
}

function barRowOf(drawing, plates, top, kind, title, value) {
  const sum = plates.reduce((s, p) => s + value(p), 0);
  const most = Math.max(...plates.map(value));
  drawing.append(svg("text", { class: "bartitle", x: 8, y: top + 10 }, title));
  const base = top + barRow - 4;
  drawing.append(svg("path", { class: "baseline", d: `M8 ${base}H${plates.at(-1).x + 24}` }));
  if (!sum) return;
  for (const p of plates) {
    const share = value(p) / sum;
    if (!share) continue;
    const w = Math.min(Math.max(p.length, 9), 26);
    const h = Math.max(1, (barHeight * value(p)) / most);
    drawing.append(svg("rect", { class: `stick ${kind} k-${kindOf(p)}`, x: p.x - w / 2, y: base - h, width: w, height: h }));
    if (share >= 0.01) drawing.append(svg("text", { class: "share", x: p.x, y: base - h - 3, "text-anchor": "middle" }, percent(share, 0)));
  }
}

function legend(plates) {
  const used = [...new Set(plates.map((p) => (kindOf(p))))];
  return el("p", { class: "legend" }, used.map((k) => el("span", { class: `k-${k}` }, el("span", { class: "key" }), t(`kind.${k}`))));
}

// mark shows which box is the chosen layer's, and leaves it alone in the tab order.
function mark() {
  const boxes = [...byID("drawing").querySelectorAll("g[data-layer]")];
  for (const b of boxes) {
    const chosen = b.dataset.layer === state.layer;
    b.setAttribute("aria-pressed", String(chosen));
    b.setAttribute("tabindex", chosen ? "0" : "-1");
  }
  if (boxes.length > 0 && !boxes.some((b) => b.getAttribute("tabindex") === "0")) boxes[0].setAttribute("tabindex", "0");
}
