// A network that learns in the page: this page asks for one stretch of steps after the other and shows what came of them, so the run goes on
// as long as the page does and no longer.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, count, percent, real } from "./words.js";
import { when } from "./state.js";
import { said } from "./faults.js";
import { className } from "./names.js";
import { sentence } from "./figure.js";
import { paintSigned, paintGrey, largest } from "./colour.js";
import { curves } from "./curves.js";
import { startSketch, judgeSketch, forgetAnswers } from "./sketch.js";
import { readFolder } from "./folder.js";
import { showOpened, hideOpened, reopen } from "./opened.js";

const stretch = 1000; // the most steps that are asked for at once
const pauses = { fast: 0, ten: 100, two: 500 }; // milliseconds of a step, by the speed
const beat = 10000; // milliseconds between signs of life while the run rests

let offer = null; // what GET /v1/train tells
let run = null; // as POST /v1/train answered, with the losses, the tests and the state since
let going = false;
let loop = Promise.resolve(); // ends with what is under way
let busy = 0; // actions that are under way or wait
let fault = null;
let own = null; // pictures of a folder
const chosen = { seed: "1", rate: "", speed: "fast" };

export async function startTrain() {
  when("language", build);
  addEventListener("pagehide", () => { if (run) api.trainEnd(run.id).catch(() => {}); });
  setInterval(() => { if (run && !run.over && !busy) action(() => take(0)); }, beat);
  try {
    offer = await api.trainOffer();
    chosen.rate = String(offer.rate);
  } catch (error) {
    fault = error;
  }
  build();
}

// build makes the section anew, in the reader's language.
function build() {
  const card = byID("train-card");
  if (!offer) return card.replaceChildren(...(fault ? said(fault) : []));
  if (!offer.on) return card.replaceChildren(el("p", { id: "train-off" }, sentence("train.off", { command: el("code", {}, "vggo serve --train-page") })));
  const field = (name, attributes) => el("label", { class: "field" }, el("span", {}, t(`train.${name}`)),
    el("input", { id: `train-${name}`, value: chosen[name], autocomplete: "off", spellcheck: "false", oninput: (event) => { chosen[name] = event.target.value.trim(); }, ...attributes }));
  card.replaceChildren(
    el("div", { class: "row" },
      el("button", { type: "button", class: "primary", id: "train-go", onclick: () => (going ? pause() : action(go)) }),
      el("button", { type: "button", id: "train-one", onclick: () => action(one) }, t("train.one")),
      el("button", { type: "button", id: "train-anew", onclick: anew }, t("train.anew")),
      el("label", { class: "field" }, el("span", {}, t("train.speed")),
        el("select", { id: "train-speed", onchange: (event) => { chosen.speed = event.target.value; } },
          Object.keys(pauses).map((name) => el("option", { value: name, selected: name === chosen.speed }, t(`train.speed.${name}`)))))),
    el("fieldset", { id: "train-how", class: "how" },
      el("legend", { class: "unseen" }, t("train.how")),
      el("div", { class: "row" }, field("seed", { size: 6, inputmode: "numeric" }), field("rate", { size: 8, inputmode: "decimal" }),
        el("label", { class: "button" }, el("input", { type: "file", id: "train-folder", webkitdirectory: true, onchange: (event) => pick(event.target) }), el("span", {}, t("train.folder"))),
        el("button", { type: "button", id: "train-usual", onclick: () => { own = null; draw(); } }, t("train.usual")))),
    el("p", { id: "train-data", class: "note" }),
    el("div", { id: "train-fault", class: "fault", role: "alert", hidden: true }),
    el("p", { id: "train-state", class: "sure", hidden: true }),
    el("div", { id: "train-shown", class: "shown", hidden: true },
      el("div", {}, el("dl", { class: "facts", id: "train-facts" }), el("div", { id: "train-curves" })),
      el("figure", {}, el("h3", {}, t("train.filters")), el("div", { id: "train-filters", class: "forming", role: "img" }), el("p", { class: "note" }, t("train.filters.note"))),
      el("figure", { class: "whole" }, el("h3", {}, t("train.fixed")), el("ul", { id: "train-fixed", class: "fixed" }))),
    el("div", { id: "train-opened", hidden: true }),
    el("div", { id: "train-sketch", hidden: true }));
  startSketch(byID("train-sketch"), judged, (n) => className(n, run.classes[n]), failed);
  draw();
  reopen(byID("train-opened"));
  if (run && !run.over) judgeSketch();
}

// judged is what the network says to a drawing; undefined where its run has ended meanwhile.
async function judged(file) {
  const id = run?.id;
  const over = () => !id || run?.id !== id;
  try {
    const told = over() ? undefined : await api.trainJudge(id, file);
    return over() ? undefined : told;
  } catch (error) {
    if (!over()) throw error;
    return undefined;
  }
}

// action does something once what is under way is over, and shows what goes wrong.
function action(todo) {
  busy++;
  const act = async () => {
    fault = null;
    try {
      await todo();
    } catch (error) {
      failed(error);
    } finally {
      busy--;
      draw();
      if (run && !run.over && !fault) judgeSketch(); // what was drawn, by the network as it is now
    }
  };
  loop = loop.then(act, act); // also after a mistake of the page's
  return loop;
}

// failed shows a fault. A run that the server does not have any more, or that has diverged, is over.
function failed(error) {
  going = false;
  fault = error;
  if (run && (error.kind === "not_found" || error.kind === "not_finite")) run.over = true;
  draw();
  if (!(error instanceof api.Refusal)) throw error; // the page's own mistake belongs in the console too
}

async function begin() {
  const told = await api.trainBegin({ seed: chosen.seed, rate: chosen.rate }, own && { name: own.name, classes: own.classes, labels: own.labels, pixels: own.pixels });
  run = { ...told, losses: [], tests: new Map() };
  learn(told.state);
}

// learn takes in a state.
function learn(state) {
  run.state = state;
  run.losses.push(...state.losses);
  for (const test of state.tests) run.tests.set(test.step, test);
}

// take asks for so many steps at most.
async function take(most) {
  const id = run.id;
  const state = await api.trainSteps(id, { most, since: run.losses.length });
  if (run?.id === id) learn(state);
}

async function go() {
  if (!run) await begin();
  going = true;
  hideOpened(byID("train-opened"));
  while (going && !run.state.finished) {
    const began = performance.now();
    await take(chosen.speed === "fast" ? stretch : 1);
    draw();
    const rest = pauses[chosen.speed] - (performance.now() - began);
    if (rest > 0) await new Promise((done) => setTimeout(done, rest));
  }
  going = false;
  announce();
}

function pause() {
  going = false;
  draw();
}

// one takes a single step and opens it.
async function one() {
  if (!run) await begin();
  const before = run.state.step;
  while (run.state.step === before && !run.state.finished) await take(1);
  draw();
  announce();
  await showOpened(byID("train-opened"), run, () => action(one));
}

// anew ends the run, so that another can begin otherwise.
function anew() {
  going = false;
  action(async () => {
    if (!run) return; // a second click
    const { id } = run;
    run = null;
    hideOpened(byID("train-opened"));
    forgetAnswers();
    await api.trainEnd(id);
  });
}

// pick reads a folder of one's own.
async function pick(input) {
  const files = [...input.files];
  input.value = ""; // the same folder again is a change too
  if (files.length === 0) return;
  await action(async () => {
    byID("train-data").textContent = t("train.reading", { n: count(files.length) });
    own = null;
    own = await readFolder(files, offer);
  });
}

function announce() {
  const last = lastTest();
  byID("live").textContent = t("train.live", { step: count(run.state.step), loss: real(run.losses.at(-1) ?? NaN, 3), share: last ? percent(last.accuracy) : "" });
}

const lastTest = () => [...(run?.tests.values() ?? [])].at(-1);

// draw shows the run as it is.
function draw() {
  if (!byID("train-go")) return;
  const over = Boolean(run && (run.over || run.state.finished));
  byID("train-go").textContent = t(going ? "train.pause" : run ? "train.on" : "train.start");
  byID("train-go").disabled = over;
  byID("train-one").disabled = going || over;
  byID("train-anew").disabled = !run;
  byID("train-how").disabled = Boolean(run);
  byID("train-usual").hidden = !own;
  byID("train-card").dataset.step = run?.state.step ?? "";
  byID("train-card").dataset.busy = String(busy > 0);
  const alert = byID("train-fault");
  const told = fault ? said(fault) : [];
  if (alert.hidden !== !fault || alert.textContent !== told.map((n) => n.textContent ?? n).join("")) alert.replaceChildren(...told);
  alert.hidden = !fault;
  byID("train-data").textContent = run
    ? t("train.data", { data: run.data, train: count(run.train), test: count(run.test), network: run.network, parameters: count(run.parameters), batch: run.batch })
    : own ? t("train.data.own", { data: own.name, n: count(own.n), classes: own.classes.map((name, n) => className(n, name)).join(t("list.comma")), left: own.left ? t("train.data.left", { n: count(own.left) }) : "" })
      : t("train.data.usual");
  state();
  for (const id of ["train-shown", "train-sketch"]) byID(id).hidden = !run;
  if (!run) return;
  facts();
  curves(byID("train-curves"), run.losses, [...run.tests.values()], run.classes.length);
  filters();
  fixed();
}

// state says in words how it goes.
function state() {
  const box = byID("train-state");
  const key = run?.state.finished ? "train.finished" : run?.state.guessing ? "train.guessing" : going && run?.state.yielded ? "train.yielded" : "";
  box.hidden = !key;
  box.dataset.unsure = String(key === "train.guessing");
  if (key) box.textContent = t(key, { rate: offer.rate });
}

function facts() {
  const last = lastTest();
  const list = [["step", `${count(run.state.step)} / ${count(run.steps)}`], ["epoch", run.state.epoch.toFixed(2)], ["loss", run.losses.length > 0 ? real(run.losses.at(-1), 3) : t("train.none")],
    ["accuracy", last ? t("train.accuracy.of", { share: percent(last.accuracy), n: count(run.test), step: count(last.step) }) : t("train.none")]];
  byID("train-facts").replaceChildren(...list.map(([name, text]) => el("div", {}, el("dt", {}, t(`train.fact.${name}`)), el("dd", { "data-fact": name, class: "figure" }, text))));
}

// filters are the first convolution's, all on one scale.
function filters() {
  const box = byID("train-filters");
  const { filters: values } = run.state;
  const full = largest(values);
  const each = 9;
  const n = values.length / each;
  if (box.childElementCount !== n) box.replaceChildren(...Array.from({ length: n }, () => el("canvas", { "aria-hidden": "true" })));
  [...box.children].forEach((canvas, i) => paintSigned(canvas, 3, 3, values.slice(each * i, each * (i + 1)), full));
  box.setAttribute("aria-label", t("train.filters.label", { n, most: real(full, 3) }));
}

// fixed are test pictures and what the network takes them for.
function fixed() {
  const list = byID("train-fixed");
  if (list.dataset.run !== run.id) {
    list.dataset.run = run.id;
    list.replaceChildren(...run.fixed.map((f) => {
      const canvas = el("canvas", { role: "img", "aria-label": className(f.class, run.classes[f.class]) });
      paintGrey(canvas, offer.side, api.bytes(f.pixels));
      return el("li", {}, canvas, el("span", { class: "truth" }, className(f.class, run.classes[f.class])), el("span", { class: "taken" }), el("span", { class: "bar", "aria-hidden": "true" }, el("span", {})));
    }));
  }
  run.state.answers.forEach((p, i) => {
    const best = p.indexOf(Math.max(...p));
    const right = best === run.fixed[i].class;
    const item = list.children[i];
    item.dataset.right = String(right);
    item.querySelector(".taken").textContent = t(right ? "train.right" : "train.wrong", { label: className(best, run.classes[best]), share: percent(p[best], 0) });
    item.querySelector(".bar > span").style.width = `${100 * p[run.fixed[i].class]}%`;
  });
}
