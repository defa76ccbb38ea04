// A picture that the reader draws, by the pointer or the keys, for the network that learns to judge.

import { el, later } from "./dom.js";
import { t } from "./words.js";
import { line } from "./answer.js";
import { paintGrey } from "./colour.js";

const side = 28;
const brush = 1.3; // pixels: the radius of the pen
const shown = 3; // answers

const pixels = new Float32Array(side * side); // from 0, black, to 1
let cursor = { y: 14, x: 14 }; // of the keys
let at = null; // the pointer, while it is down
let canvas = null;
let judge = null; // asks the network
let complain = null;
let named = null; // names a class
let answers = null; // the list of them
let blank = true;
let turn = 0; // the newest drawing's answer is shown

// startSketch makes the pad. ask sends a picture and is undefined if there is no network any more, name names a class, failed shows a fault.
export function startSketch(box, ask, name, failed) {
  [judge, named, complain] = [ask, name, failed];
  canvas = el("canvas", { id: "sketch", width: side, height: side, tabindex: 0, role: "application", "aria-label": t("sketch.label"), "aria-describedby": "sketch-keys" });
  answers = el("ol", { id: "sketch-answers", class: "classes", "aria-live": "polite" });
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); at = place(event); draw(at, at); event.preventDefault(); canvas.focus(); });
  canvas.addEventListener("pointermove", (event) => {
    if (!at) return;
    const to = place(event);
    draw(at, to);
    at = to;
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { at = null; });
  canvas.addEventListener("keydown", key);
  for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, paint);
  box.replaceChildren(el("h3", {}, t("sketch.title")), el("p", { class: "note" }, t("sketch.note")),
    el("div", { class: "sketch" }, el("figure", {}, canvas, el("div", { class: "row" }, el("button", { type: "button", id: "sketch-clear", onclick: clear }, t("sketch.clear")))), el("div", {}, answers)),
    el("p", { id: "sketch-keys", class: "note" }, t("sketch.keys")));
  paint();
}

const place = (event) => {
  const r = canvas.getBoundingClientRect();
  return { x: ((event.clientX - r.left) / r.width) * side, y: ((event.clientY - r.top) / r.height) * side };
};

// draw draws a stroke.
function draw(from, to) {
  const steps = Math.max(Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) * 2), 1);
  for (let i = 0; i <= steps; i++) {
    const [cx, cy] = [from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps];
    for (let y = Math.max(Math.floor(cy - 2), 0); y < Math.min(cy + 3, side); y++) {
      for (let x = Math.max(Math.floor(cx - 2), 0); x < Math.min(cx + 3, side); x++) {
        const cover = Math.min(Math.max(brush + 0.5 - Math.hypot(x + 0.5 - cx, y + 0.5 - cy), 0), 1);
        pixels[y * side + x] = Math.max(pixels[y * side + x], cover);
      }
    }
  }
  blank = false;
  paint();
  soon();
}

// key moves the pen by the arrows; with the space bar it draws, with Shift and an arrow it draws on the way.
function key(event) {
  const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
  if (!dx && !dy && event.key !== " ") return;
  event.preventDefault();
  const before = { ...cursor };
  cursor = { x: Math.min(Math.max(cursor.x + dx, 0), side - 1), y: Math.min(Math.max(cursor.y + dy, 0), side - 1) };
  const middle = (p) => ({ x: p.x + 0.5, y: p.y + 0.5 });
  if (event.key === " " || event.shiftKey) draw(middle(before), middle(cursor));
  else paint();
}

function clear() {
  pixels.fill(0);
  blank = true;
  forgetAnswers();
  paint();
}

// forgetAnswers takes back what a network that is no more said.
export function forgetAnswers() {
  turn++;
  answers.replaceChildren();
}

const bytes = () => Uint8Array.from(pixels, (v) => Math.round(255 * v));

function paint() {
  paintGrey(canvas, side, bytes());
  if (document.activeElement !== canvas || at) return;
  const context = canvas.getContext("2d"); // the keys' pen
  context.fillStyle = "#ffd23f";
  context.fillRect(cursor.x, cursor.y, 1, 1);
}

// file is the drawing without the pen.
function file() {
  const clean = el("canvas", {});
  paintGrey(clean, side, bytes());
  return new Promise((done) => clean.toBlob(done, "image/png"));
}

const soon = later(150, judgeSketch);

// judgeSketch has the network judge what is drawn, if anything is.
export async function judgeSketch() {
  if (blank || !judge) return;
  const mine = ++turn;
  try {
    const told = await judge(await file());
    if (!told || mine !== turn) return; // the network is no more, or something else is drawn by now
    const best = told.probabilities.map((probability, n) => ({ class: n, probability })).sort((a, b) => b.probability - a.probability).slice(0, shown);
    answers.replaceChildren(...best.map((c) => line(c, named(c.class))));
  } catch (error) {
    complain(error);
  }
}
