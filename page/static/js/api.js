// What the server is asked, and what went wrong.

import { t } from "./words.js";
import { byID, el } from "./dom.js";
import { said } from "./faults.js";
import { when } from "./state.js";

// Refusal is an error of the server, or its silence.
export class Refusal extends Error {
  constructor(kind, message, hint, after) {
    super(message);
    this.kind = kind; // the server's word, or "silent"
    this.hint = hint;
    this.after = after; // seconds after which to try again
  }
}

// ownFault is a fault that the page itself found: kind "silent" says fault.silent.
export function ownFault(kind) {
  const fault = new Refusal(kind, `fault.${kind}`, `fault.${kind}.${kind === "silent" && here() ? "here" : "hint"}`);
  fault.own = true; // its message and hint are keys
  return fault;
}

// door is the way to who answers: the server that the page came from. A site without a server has one of its own.
let door = { ask: (path, options) => fetch(path, options), address: (path) => path };

// through has another door: ask answers as fetch does, address is where an image of a path is loaded from, here says that what answers is in
// this browser.
export const through = (other) => { door = other; };

// here says whether no picture leaves this browser.
export const here = () => Boolean(door.here);

// below is a path as the page's own address has it, wherever that lies on its host.
const below = (path) => path.slice(1);

async function ask(path, options) {
  let answer;
  try {
    answer = await wanted(door.ask(below(path), options), options);
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Refusal) throw error;
    throw ownFault("silent");
  }
  if (answer.ok) {
    retract();
    return answer;
  }
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // something between here and the server answered
  }
  options?.signal?.throwIfAborted();
  throw new Refusal(told.kind ?? "unknown", told.error ?? `${answer.status} ${answer.statusText}`, told.hint, Number(answer.headers.get("Retry-After")) || undefined);
}

const query = (values) => {
  const given = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return given.length > 0 ? `?${new URLSearchParams(given)}` : "";
};

// wanted is what an answer holds, unless something else was asked for while it came.
async function wanted(value, options) {
  const told = await value;
  options?.signal?.throwIfAborted();
  return told;
}

const json = async (path, options) => wanted((await ask(path, options)).json(), options);

export const models = () => json("/v1/models");

export const archOf = (name, values = {}, signal) => json(`/v1/arch/${encodeURIComponent(name)}${query(values)}`, { signal });

export const archOfText = (text, values = {}, signal) =>
  json(`/v1/arch${query(values)}`, { method: "POST", body: text, headers: { "Content-Type": "text/plain" }, signal });

export const archFile = async (text, format, values = {}) =>
  (await ask(`/v1/arch${query({ ...values, format })}`, { method: "POST", body: text, headers: { "Content-Type": "text/plain" } })).blob();

export const description = async (name) => (await ask(`/v1/arch/${encodeURIComponent(name)}?format=yaml`)).text();

export const field = (name, values, signal) => json(`/v1/arch/${encodeURIComponent(name)}/field${query(values)}`, { signal });

const sending = (file) => (file ? { body: file, headers: { "Content-Type": "application/octet-stream" } } : {});

export const inside = (model, file) =>
  json(`/v1/inside${query({ model })}`, { method: "POST", ...sending(file) });

// answerOf is what a model answers to a picture, as inside tells it, with nothing kept to be asked about.
export const answerOf = (model, file, signal) =>
  json(`/v1/inside${query({ model, keep: "no" })}`, { method: "POST", signal, ...sending(file) });

// inputURL is where the picture as the network sees it is, or with as "photograph" the same part of it sharper.
export const inputURL = (id, as = "input") => door.address(below(`/v1/inside/${id}/input?as=${as}`));

export const maps = (id, values, signal) => json(`/v1/inside/${id}/maps${query(values)}`, { signal });

export const pixel = (id, values, signal) => json(`/v1/inside/${id}/pixel${query(values)}`, { signal });

// scores are the classes' scores and what becomes of them at a temperature in hundredths.
export const scores = (id, values, signal) => json(`/v1/inside/${id}/scores${query(values)}`, { signal });

export const cell = (id, values, signal) => json(`/v1/inside/${id}/cell${query(values)}`, { signal });

export const filters = (model, values, signal) => json(`/v1/models/${encodeURIComponent(model)}/filters${query(values)}`, { signal });

// patches are the parts of a picture that excite a channel most, or of pictures that the server has.
export const patches = (model, values, file, signal) => json(`/v1/models/${encodeURIComponent(model)}/patches${query(values)}`, { method: "POST", signal, ...sending(file) });

// dream lets a picture grow a little that excites a channel, from a file or from noise.
export const dream = (model, values, file, signal) => json(`/v1/models/${encodeURIComponent(model)}/dream${query(values)}`, { method: "POST", signal, ...sending(file) });

export const heat = (id, kind, values, signal) => json(`/v1/inside/${id}/${kind}${query(values)}`, { method: "POST", signal });

// fool is the smallest change of a visit's picture that was found to change the answer.
export const fool = (id, signal) => json(`/v1/inside/${id}/fool`, { method: "POST", signal });

// effective is how much a cell depends on each pixel, by gradients.
export const effective = (id, values, signal) => json(`/v1/inside/${id}/effective${query(values)}`, { method: "POST", signal });

// map is one map's values, or a small layer's: {shape, values}. The answer is a NumPy file: 8 bytes, the header's length, the header.
export async function map(id, values, signal) {
  const answer = await ask(`/v1/inside/${id}/map${query(values)}`, { signal });
  const buffer = await wanted(answer.arrayBuffer(), { signal });
  const length = new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder().decode(buffer.slice(10, 10 + length));
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").map((s) => s.trim()).filter(Boolean).map(Number);
  return { shape, values: new Float32Array(buffer.slice(10 + length)) };
}

export const trainOffer = () => json("/v1/train");

// trainBegin makes a network that learns from pictures of one's own, or where there are none from the server's.
export const trainBegin = (values, own) =>
  json(`/v1/train${query(values)}`, { method: "POST", ...(own && { body: JSON.stringify(own), headers: { "Content-Type": "application/json" } }) });

export const trainSteps = (id, values) => json(`/v1/train/${id}/steps${query(values)}`, { method: "POST" });

export const trainOpen = (id, values) => json(`/v1/train/${id}/step${query(values)}`);

export const trainJudge = (id, file) =>
  json(`/v1/train/${id}/judge`, { method: "POST", ...sending(file) });

// trainEnd ends a run, also while the page is being closed.
export const trainEnd = (id) => json(`/v1/train/${id}/end`, { method: "POST", keepalive: true });

// bytes are what base64 in an answer stands for.
export const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

let complaint = null; // the last one: {error, again}

// complain shows what went wrong, in words, with a way to try again if there is one.
export function complain(error, again) {
  if (error.name === "AbortError") return;
  complaint = { error, again };
  show();
  if (!(error instanceof Refusal)) throw error; // the page's own mistake belongs in the console too
}

function show() {
  const { error, again } = complaint;
  const box = byID("alert");
  const parts = said(error);
  if (error.after) parts.push(` ${t("fault.after", { seconds: error.after })}`);
  if (again) parts.push(" ", el("button", { type: "button", onclick: () => { box.hidden = true; again(); } }, t("fault.again")));
  box.replaceChildren(...parts);
  box.dataset.kind = error.kind ?? "page";
  box.hidden = false;
}

when("language", () => { if (!byID("alert").hidden) show(); });

// retract takes the complaint of a silent server back once it answers.
function retract() {
  const box = byID("alert");
  if (box.dataset.kind === "silent") box.hidden = true;
}

// settle takes any complaint back.
export function settle() {
  byID("alert").hidden = true;
}
