// What fools it: the smallest change of the picture that was found to change the answer, and how the answer moves with a share of it. The
// pictures are worked out here from the change, as the server does it: to the same byte.

import * as api from "./api.js";
import { byID, el, svg, loaded } from "./dom.js";
import { t, count, percent, real } from "./words.js";
import { state, when } from "./state.js";
import { className } from "./names.js";
import { line } from "./answer.js";
import { again } from "./picture.js";

let found = null; // {visit, told, pixels, change}: pixels of the input as a canvas has them, change for each of their samples
let share = 10; // the point of the course that is shown
let running;

export function startFool() {
  byID("fool").addEventListener("click", look);
  when("visit", forget);
  when("language", () => { if (found) show(); });
}

function forget() {
  running?.abort();
  found = null;
  show();
}

async function look() {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const { visit } = state;
  found = null;
  show();
  byID("fool").disabled = true;
  byID("fool-note").textContent = t("why.running");
  try {
    const told = await api.fool(visit.id, signal);
    const pixels = await input(visit.id, told);
    signal.throwIfAborted();
    share = told.course.findIndex((p) => p.share === 1);
    found = { visit, told, pixels, change: new Float32Array(api.bytes(told.change).buffer) };
  } catch (error) {
    if (signal.aborted) return;
    if (error.kind === "not_found") await again();
    else api.complain(error, error.after ? look : undefined);
  } finally {
    if (!signal.aborted) show();
  }
}

// input is the picture as the network sees it: its pixels' reds, greens, blues and opacities.
async function input(id, { width, height }) {
  const image = await loaded(api.inputURL(id));
  const context = el("canvas", { width, height }).getContext("2d");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

function show() {
  const box = byID("fool-shown");
  byID("fool").disabled = false;
  byID("fool-note").textContent = "";
  if (!found) {
    box.replaceChildren();
    return;
  }
  const { told } = found;
  const name = (c) => className(c.class, c.label);
  const figure = (id, words) => el("figure", {}, el("canvas", { id, role: "img" }), el("figcaption", {}, words));
  const bar = (id, c) => Object.assign(line(c, name(c)), { id });
  box.replaceChildren(
    el("p", {}, t("fool.found", { was: name(told.was), is: name(told.is), most: count(told.most), l2: real(told.l2, 3) })),
    el("div", { class: "fooled" }, figure("fool-before", t("fool.before")), figure("fool-after", ""), figure("fool-change", t("fool.change", { times: count(amplified()) }))),
    el("label", { class: "field wide" }, el("span", {}, t("fool.share")),
      el("input", { type: "range", id: "fool-share", min: 0, max: told.course.length - 1, value: share, oninput: (event) => { share = Number(event.target.value); move(); } }),
      el("output", { for: "fool-share", id: "fool-told" })),
    el("ol", { class: "classes two" }, bar("fool-was", told.was), bar("fool-is", told.is)),
    course(),
    el("p", { id: "fool-answer", "aria-live": "polite" }),
    el("p", { class: "note" }, t("fool.how", { steps: count(told.steps) })));
  paint("fool-before", 0, (v) => v);
  byID("fool-before").setAttribute("aria-label", t("fool.before"));
  move();
}

// amplified is how many times the change is shown: the largest at 100 % nearly fills the range on its side of grey.
const amplified = () => Math.max(Math.floor(127 / found.told.most), 1);

// move shows the picture and the answer at the slider's share.
function move() {
  const { told } = found;
  const point = told.course[share];
  const words = percent(point.share, 0);
  byID("fool-told").textContent = words;
  byID("fool-share").setAttribute("aria-valuetext", words);
  const answer = t(point.class === told.was.class ? "fool.still" : "fool.now", { share: words, label: className(point.class) });
  byID("fool-answer").textContent = answer;
  byID("fool-answer").dataset.class = point.class;
  paint("fool-after", point.share, (v) => v);
  paint("fool-change", point.share, (v, before) => 127.5 + amplified() * (v - before));
  byID("fool-after").setAttribute("aria-label", answer);
  byID("fool-after").nextSibling.textContent = t("fool.after", { share: words });
  byID("fool-change").setAttribute("aria-label", t("fool.change", { times: count(amplified()) }));
  for (const which of ["was", "is"]) {
    const line = byID(`fool-${which}`);
    line.dataset.probability = point[which];
    line.querySelector(".share").textContent = percent(point[which]);
    line.querySelector(".bar span").style.width = `${100 * point[which]}%`;
  }
  const at = across(share);
  for (const [name, value] of Object.entries({ x1: at, x2: at })) byID("fool-here").setAttribute(name, value);
}

// paint shows the picture at a share of the change, each sample as write(v, before) has it.
function paint(id, at, write) {
  const { told: { width, height, channels }, pixels, change } = found;
  const canvas = byID(id);
  Object.assign(canvas, { width, height });
  canvas.classList.toggle("pixels", width < 128);
  const image = new ImageData(width, height);
  for (let i = 0; i < pixels.length; i++) {
    const before = pixels[i];
    if (i % 4 === 3) image.data[i] = 255;
    else image.data[i] = write(Math.floor(Math.min(Math.max(before + at * change[(i >> 2) * channels + (channels === 1 ? 0 : i % 4)], 0), 255) + 0.5), before);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const [width, height, left] = [300, 90, 34];
const across = (i) => left + ((width - left - 6) * i) / (found.told.course.length - 1);

// course draws both classes' probabilities over all shares, with the slider's place.
function course() {
  const points = found.told.course;
  const y = (p) => 6 + (height - 24) * (1 - p);
  const line = (which) => svg("path", { class: which, d: points.map((p, i) => `${i ? "L" : "M"}${across(i).toFixed(1)} ${y(p[which]).toFixed(1)}`).join("") });
  const text = (x, down, words, anchor) => svg("text", { x, y: down, "text-anchor": anchor }, words);
  return el("figure", { class: "course" }, svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": t("fool.course") },
    [0, 0.5, 1].flatMap((p) => [svg("line", { class: "baseline", x1: left, x2: width - 6, y1: y(p), y2: y(p) }), text(left - 4, y(p) + 3, percent(p, 0), "end")]),
    points.map((p, i) => (p.share % 1 === 0 ? text(across(i), height - 6, percent(p.share, 0), p.share === 2 ? "end" : "middle") : null)),
    line("was"), line("is"), svg("line", { id: "fool-here", y1: y(1), y2: y(0) })));
}
