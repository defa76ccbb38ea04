// What each step of the story has the page show, says and asks. A step looks at the picture and the network at hand; one that the network
// has nothing for is left out.

import * as api from "./api.js";
import { byID, el, calm } from "./dom.js";
import { t, real, percent } from "./words.js";
import { className, operation } from "./names.js";
import { state, rows, groupOf } from "./state.js";
import { choose } from "./address.js";
import { preview } from "./layer.js";
import { stepOn } from "./cell.js";
import { setTemperature } from "./last.js";
import { figures } from "./figure.js";

const all = () => rows(state.report);
const convs = () => all().filter((r) => r.kind === "conv");
const pools = ["maxpool", "avgpool"];
const pooling = () => all().find((r) => pools.includes(r.kind));
const linears = () => all().filter((r) => r.kind === "linear");
const rectified = () => all().find((r) => r.kind === "relu" || r.after.some((a) => a.kind === "relu"));
const scored = () => state.model.ending === "softmax" && linears().length > 0 && all().filter((r) => r.kind !== "softmax").at(-1).kind === "linear";

// grown is the first convolution that reads what lies more than a pixel apart, or the second one, and the row that it reads.
function grown() {
  const list = all();
  const read = list.map((row, i) => ({ row, before: list[i - 1] })).filter(({ row, before }) => row.kind === "conv" && before);
  return read.find(({ before }) => before.field.h.jump > 1) ?? read[0];
}

// steps in their order: whether there is one in this network, and what shows it. What show returns: the element to look at, what the words
// are filled with, tools, the question, and what is to be undone after it; "to" is the part of the element that must be seen.
export const steps = [
  { name: "pixel", is: () => true, show: pixel },
  { name: "kernel", is: () => convs().length > 0, show: kernel },
  { name: "sum", is: () => convs().length > 1, show: sum },
  { name: "relu", is: () => Boolean(rectified()), show: relu },
  { name: "pooling", is: () => Boolean(pooling()), show: pool },
  { name: "field", is: () => Boolean(grown()), show: field },
  { name: "feature", is: () => convs().length > 0 && linears().length > 0, show: feature },
  { name: "score", is: scored, show: score },
  { name: "softmax", is: scored, show: softmax },
  { name: "why", is: () => convs().length > 0, show: why },
];

const arch = () => figures("arch", state.report);
const code = (text) => el("code", {}, text);
const named = (n) => el("span", { class: "name" }, className(n));
const short = (x) => real(x, 4);
const button = (key, onclick) => el("button", { type: "button", "data-tool": key, onclick }, t(`story.tool.${key}`));

// told asks the server about the picture; its figures carry the question.
async function told(kind, values = {}) {
  const answer = await api[kind](state.visit.id, values);
  const query = new URLSearchParams(values).toString();
  return [answer, figures(query ? `${kind}?${query}` : kind, answer)];
}

// stage has the page look into a layer, at a cell if one is named, and waits until that is worked out.
async function stage(kit, layer, cell) {
  if (cell) state.asked = { layer, ...cell };
  choose(layer);
  const [own] = groupOf(layer).layers;
  await kit.until(() => {
    const { dataset } = byID("working") ?? {};
    return dataset?.layer === own && state.pinned && (!cell || (Number(dataset.channel) === cell.channel && dataset.at === `${cell.y},${cell.x}`));
  });
  return { layer, channel: state.channel, y: state.cell.y, x: state.cell.x };
}

async function pixel(kit) {
  const { h, w } = state.model.input;
  const place = { y: Math.floor(h / 2), x: Math.floor(w / 2) };
  const mark = el("span", { class: "cell", id: "story-pixel", "aria-hidden": "true" });
  byID("frame").append(mark);
  const words = async () => {
    Object.assign(mark.style, { left: `${(100 * place.x) / w}%`, top: `${(100 * place.y) / h}%`, width: `${100 / w}%`, height: `${100 / h}%` });
    const [pixel, figure] = await told("pixel", place);
    const samples = el("span", { class: "samples" }, pixel.samples.map((s, i) => {
      const f = (key, write) => figure(`samples/${i}/${key}`, write);
      const exact = (x) => String(Number(x.toPrecision(7))).replace("-", "−"); // a float32 in its own digits
      return el("span", {}, `${t(`story.colour.${s.colour}`)}: (`, f("byte"), " / ", f("scale", exact), " − ", f("mean", exact), ") / ", f("std", exact), " = ", f("value", short));
    }));
    const a = arch();
    return { h: a("input/h"), w: a("input/w"), y: figure("y"), x: figure("x"), samples };
  };
  const move = async () => {
    const [y, x] = [place.y, place.x];
    const told = await words();
    if (y === place.y && x === place.x) kit.say(told);
  };
  const slider = (key, top) => el("label", { class: "field" }, t(`maps.${key}`), " ",
    el("input", { type: "range", id: `story-${key}`, min: 0, max: top, value: place[key], oninput: (event) => { place[key] = Number(event.target.value); kit.attempt(move); } }));
  const a = arch();
  const values = { h: a("input/h"), w: a("input/w"), c: a("input/c"), n: a("input/h × input/w × input/c") };
  return { at: byID("frame"), say: await words(), tools: [slider("y", h - 1), slider("x", w - 1)], ask: { values, answer: values.n }, end: () => mark.remove() };
}

async function kernel(kit) {
  const { name } = convs()[0];
  await stage(kit, name);
  const [{ window }, cell] = await told("cell", { layer: name, channel: state.channel });
  const a = arch();
  const { h, w } = groupOf(name).shape;
  const stride = 2; // which the question is about
  const { input } = state.report;
  const asked = `${input.h}x${input.w}x${input.c}:1k${window.kernel.h}s${stride}p0`;
  const q = figures(`arch:${asked}`, await api.archOfText(asked));
  const slide = slider(kit, h, w);
  return {
    at: byID("map-figure"),
    say: { layer: code(name), kh: cell("window/kernel/h"), kw: cell("window/kernel/w"), jump: a(`layers/${name}/field/h/jump`), mh: a(`layers/${name}/out/h`), mw: a(`layers/${name}/out/w`) },
    tools: [el("button", { type: "button", "data-tool": "slide", onclick: (event) => slide.toggle(event.target) }, t("story.tool.slide")), button("place", () => slide.on())],
    ask: { values: { k: cell("window/kernel/h"), h: q("input/h"), s: q("layers/conv1_1/field/h/jump"), formula: q("layers/conv1_1/formulas/size", String) }, answer: q("layers/conv1_1/out/h") },
    end: slide.end,
  };
}

// slider moves the window over the whole map of h×w, which comes to light behind it.
function slider(kit, h, w) {
  let place = 0;
  let timer;
  const last = h * w - 1;
  const draw = () => {
    const [y, x] = [Math.floor(place / w), place % w];
    const part = (n, of) => `${(100 * n) / of}%`;
    byID("map").style.clipPath = `polygon(0 0, 100% 0, 100% ${part(y, h)}, ${part(x + 1, w)} ${part(y, h)}, ${part(x + 1, w)} ${part(y + 1, h)}, 0 ${part(y + 1, h)})`;
    byID("map").dataset.shown = place + 1;
    preview({ y, x });
  };
  const stop = () => clearInterval(timer);
  const move = (by) => {
    if (!kit.alive() || !byID("map")) return stop();
    place = place >= last ? 0 : Math.min(place + by, last);
    draw();
    if (place === last) stop();
  };
  return {
    on: () => move(1),
    toggle: (button) => {
      const running = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!running));
      stop();
      if (!running) timer = setInterval(() => { move(Math.ceil(w / 12)); if (place === last) button.setAttribute("aria-pressed", "false"); }, calm() ? 500 : 130);
    },
    end: () => {
      stop();
      if (byID("map")) byID("map").style.clipPath = "";
      preview(null);
    },
  };
}

async function sum(kit) {
  const { name } = convs()[1];
  const [cell, figure] = await told("cell", await stage(kit, name));
  byID("cell").querySelector(".inputs")?.setAttribute("open", "");
  const a = arch();
  return {
    at: byID("cell"),
    say: { layer: code(name), before: code(cell.from), n: figure("inputs"), kh: figure("window/kernel/h"), kw: figure("window/kernel/w"), value: figure("value", short), in: figure("in"),
      part: figure(`sums/${cell.in - cell.first_in}`, short) },
    tools: [button("tap", stepOn)],
    ask: { values: { layer: code(name), formula: a(`layers/${name}/formulas/weights`, String) }, answer: a(`layers/${name}/weights ÷ layers/${name}/out/c`) },
  };
}

async function relu(kit) {
  const row = rectified();
  const layer = groupOf(row.name).layers[0];
  const { channels } = await api.maps(state.visit.id, { layer, order: "strength", count: 1, side: 1 });
  const { channel } = channels[0];
  const { shape, values } = await api.map(state.visit.id, { layer, channel });
  const w = shape[1] ?? 1;
  const zeros = [...values.keys()].filter((i) => values[i] === 0);
  const low = zeros[Math.floor(zeros.length / 2)] ?? values.indexOf(Math.min(...values));
  const high = values.indexOf(Math.max(...values));
  const see = async (i) => {
    const [cell, figure] = await told("cell", await stage(kit, layer, { channel, y: Math.floor(i / w), x: i % w }));
    const before = cell.norm ? "norm/out" : cell.source ? "source/value" : "sum";
    return { before: figure(before, short), after: figure("value", short) };
  };
  const turn = (i) => () => kit.attempt(async () => {
    kit.say(await see(i));
    kit.look(byID("cell"), byID("working"));
  });
  const values0 = await see(low);
  return { at: byID("cell"), to: byID("working"), say: values0, tools: [button("below", turn(low)), button("above", turn(high))], ask: { values: values0, answer: values0.after, near: 0.005 } };
}

async function pool(kit) {
  const row = pooling();
  const { name } = row;
  const [, figure] = await told("cell", await stage(kit, name));
  const a = arch();
  return {
    at: byID("cell"),
    say: { layer: code(name), kh: figure("window/kernel/h"), kw: figure("window/kernel/w"), value: figure("value", short), one: t(`story.pooling.${row.kind}`) },
    tools: [button("tap", stepOn)],
    ask: { values: { layer: code(name), operation: a(`layers/${name}/operation`, operation), h: a(`layers/${name}/in/h`), formula: a(`layers/${name}/formulas/size`, String) }, answer: a(`layers/${name}/out/h`) },
  };
}

async function field(kit) {
  const { name } = convs().at(-1);
  const { row, before } = grown();
  await stage(kit, name);
  const [, cell] = await told("cell", { layer: groupOf(row.name).layers[0] });
  const a = arch();
  await kit.until(() => byID("field").dataset.box);
  const further = () => {
    const range = byID("field-step");
    range.value = Number(range.value) === Number(range.max) ? 0 : Number(range.value) + 1;
    range.dispatchEvent(new Event("input"));
  };
  return {
    at: byID("field-figure"),
    say: { layer: code(name), fh: a(`layers/${name}/field/h/size`), fw: a(`layers/${name}/field/w/size`) },
    tools: [button("grow", () => byID("field-play").click()), button("further", further)],
    ask: {
      values: { before: code(before.name), layer: code(row.name), size: a(`layers/${before.name}/field/h/size`), jump: a(`layers/${before.name}/field/h/jump`), k: cell("window/kernel/h"),
        formula: a(`layers/${row.name}/formulas/field`, String) },
      answer: a(`layers/${row.name}/field/h/size`),
    },
  };
}

async function feature(kit) {
  const fc = linears()[0].name;
  const list = all();
  const via = list[list.findIndex((r) => r.name === fc) - 1].name;
  const maps = (await api.cell(state.visit.id, { layer: fc })).maps ?? convs().at(-1).name;
  await stage(kit, maps);
  await kit.until(() => byID("panel-maps").querySelector(".map"));
  const a = arch();
  const last = groupOf(maps).layers.at(-1);
  return {
    at: byID("panel-maps"),
    say: { layer: code(maps), h: a(`layers/${last}/out/h`), w: a(`layers/${last}/out/w`), c: a(`layers/${last}/out/c`), f: a(`layers/${last}/field/h/size`) },
    tools: [],
    ask: {
      values: { via: code(via), fc: code(fc), h: a(`layers/${via}/out/h`), w: a(`layers/${via}/out/w`), c: a(`layers/${via}/out/c`), n: a(`layers/${fc}/weights ÷ layers/${fc}/out/c`) },
      answer: a(`layers/${fc}/weights ÷ layers/${fc}/out/c`),
    },
  };
}

const best = () => state.visit.classes[0].class;

async function score(kit) {
  const [{ layer }, figure] = await told("scores");
  await kit.until(() => byID("last-adds").querySelector("dl"));
  const a = arch();
  return {
    at: byID("last-adds"),
    say: { fc: code(layer), n: a(`layers/${layer}/weights ÷ layers/${layer}/out/c`), class: named(best()), score: figure(`classes/${best()}/score`, short) },
    tools: [],
    ask: { values: { fc: code(layer), classes: a(`layers/${layer}/out/c`), formula: a(`layers/${layer}/formulas/weights`, String) }, answer: a(`layers/${layer}/weights`) },
  };
}

async function softmax(kit) {
  setTemperature(0);
  const [, figure] = await told("scores");
  await kit.until(() => byID("last-table").querySelector("tbody tr"));
  const own = `classes/${best()}`;
  const values = { class: named(best()), max: figure("max", short), sum: figure("sum", short), z: figure(`${own}/score`, short), exp: figure(`${own}/exp`, short),
    p: figure(`${own}/probability`, (p) => percent(p, 2)) };
  return {
    at: byID("last-card").firstElementChild,
    say: values,
    tools: [button("warm", () => setTemperature(10)), button("cold", () => setTemperature(-10)), button("same", () => setTemperature(0))],
    ask: { values, answer: figure(`${own}/probability × 100`), within: 0.5 },
    end: () => setTemperature(0),
  };
}

async function why(kit) {
  const before = document.querySelector("input[name=overlay]:checked");
  const asked = document.querySelector("input[name=overlay][value=gradcam]");
  if (!asked.checked) asked.click();
  await kit.until(() => state.heat?.kind === "gradcam" && state.heat.visit === state.visit);
  const { layer } = state.heat;
  const a = arch();
  const size = { h: a(`layers/${layer}/out/h`), w: a(`layers/${layer}/out/w`) };
  const n = a(`layers/${layer}/out/h × layers/${layer}/out/w`);
  return { at: byID("frame"), say: { layer: code(layer), class: named(state.heat.class) }, tools: [], ask: { values: { layer: code(layer), ...size, n }, answer: n }, end: () => before.click() };
}
