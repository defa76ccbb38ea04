// Where the picture comes from: a file, the clipboard, the camera or an example; and the way of it through the network.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, percent } from "./words.js";
import { state, tell, when } from "./state.js";
import { className } from "./names.js";
import { keep, recall } from "./keep.js";

export const examples = ["cat", "owl", "hotdog", "boot"];
// exampleFile is where an example lies.
export const exampleFile = (name) => `page/${name}.${name === "boot" ? "png" : "jpg"}`;

export function startPicture() {
  const drop = byID("drop");
  for (const kind of ["dragover", "dragenter"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length > 0) give(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])][0];
    if (pasted) give(pasted);
  });
  byID("file").addEventListener("change", (event) => {
    if (event.target.files.length > 0) give(event.target.files[0]);
    event.target.value = ""; // the same file again is a change too
  });
  byID("camera").addEventListener("click", openCamera);
  for (const radio of document.querySelectorAll("input[name=view]")) radio.addEventListener("change", look);
  when("language", () => {
    showExamples();
    seen();
    if (state.visit) named();
  });
  when("models", () => {
    if (state.file) give(state.file, state.example);
  });
  showExamples();
}

// restore brings the picture back that was here before a reload, or the example that the address names.
export async function restore(asked) {
  const example = examples.includes(asked) ? asked : null;
  const mine = turn;
  const before = await recall();
  if (mine !== turn) return; // a picture was given meanwhile
  if (before && (before.example ?? null) === example) await give(before.file, example);
  else if (example) await giveExample(example);
}

function showExamples() {
  byID("examples").replaceChildren(
    ...examples.map((name) =>
      el("button", { type: "button", class: "example", "data-example": name, onclick: () => giveExample(name) },
        el("img", { src: exampleFile(name), alt: t(`example.${name}`), width: 56, height: 56 }))));
}

// giveExample sends one of the page's own pictures.
export const giveExample = (name) => give(load(name), name);

async function load(name) {
  try {
    const answer = await fetch(exampleFile(name));
    if (answer.ok) return await answer.blob();
  } catch {
    // as below
  }
  throw api.ownFault("silent");
}

let turn = 0; // the newest picture wins

// give sends a picture, or the promise of one, through the network. example is its name, if it is one of the page's own.
export async function give(given, example = null) {
  const mine = ++turn;
  document.body.dataset.busy = "true";
  byID("live").textContent = t("see.running");
  byID("seen-note").textContent = t("see.running");
  try {
    const picture = await given;
    if (mine !== turn) return;
    const visit = await api.inside(state.model.name, picture);
    if (mine !== turn) return;
    api.settle();
    visit.file = picture; // the one that it is of
    await show(visit);
    if (mine !== turn) return;
    Object.assign(state, { visit, file: picture, example });
    seen();
    tell("visit");
    named();
    await keep(picture, example);
  } catch (error) {
    if (mine !== turn) return;
    byID("live").textContent = "";
    seen();
    api.complain(error, error.kind === "silent" || error.after ? () => (example ? giveExample(example) : give(given)) : undefined);
  } finally {
    if (mine === turn) delete document.body.dataset.busy;
  }
}

// again sends the same picture once more, because the server has forgotten what it made of it.
export async function again() {
  if (state.file) await give(state.file, state.example);
}

// named tells the answer to who cannot see it, and what the picture is.
function named() {
  const best = state.visit.classes[0];
  byID("live").textContent = t("answer.live", { label: label(best), share: percent(best.probability) });
  byID("shown").alt = described();
}

const described = () => t(view() === "input" ? "see.alt" : "see.alt.photograph");

const view = () => document.querySelector("input[name=view]:checked").value;

// show shows a picture: as the network sees it, or the same part of the photograph.
async function show(visit) {
  const image = byID("shown");
  const as = view();
  image.src = api.inputURL(visit.id, as);
  image.alt = described();
  await image.decode();
  image.hidden = false;
  byID("empty").hidden = true;
  byID("view").hidden = false;
  const few = state.model.input.w < 128; // so few pixels are shown as they are
  document.body.classList.toggle("coarse", few);
  image.classList.toggle("pixels", few && as === "input");
}

async function look() {
  if (!state.visit) return;
  try {
    await show(state.visit);
  } catch {
    await again(); // the server keeps it no longer
  }
}

// seen says which part of the picture the network sees, and what became of it.
function seen() {
  const { visit, model } = state;
  const note = byID("seen-note");
  if (!visit || visit.model !== model.name) {
    note.textContent = "";
    return;
  }
  const [x0, y0, x1, y1] = visit.part;
  const all = x0 === 0 && y0 === 0 && x1 === visit.width && y1 === visit.height;
  const { w, h } = model.input;
  const scaled = x1 - x0 !== w || y1 - y0 !== h;
  const words = all ? (scaled ? "see.as.all" : "see.as.itself") : scaled ? "see.as.part" : "see.as.cut";
  note.textContent = t(words, { w: visit.width, h: visit.height, pw: x1 - x0, ph: y1 - y0, iw: w, ih: h }) + (model.input.c === 1 ? t("see.as.grey") : "");
}

export const label = (c) => className(c.class, c.label);

async function openCamera() {
  const dialog = byID("camera-dialog");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    api.complain(api.ownFault("camera"));
    return;
  }
  const video = el("video", { autoplay: true, playsinline: true, muted: true, "aria-label": t("camera.live") });
  video.srcObject = stream;
  const take = () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      dialog.close();
      if (blob) give(blob);
    }, "image/png");
  };
  dialog.replaceChildren(
    el("h2", { id: "camera-title" }, t("camera.title")), video,
    el("div", { class: "row" },
      el("button", { type: "button", class: "primary", id: "camera-take", onclick: take }, t("camera.take")),
      el("button", { type: "button", onclick: () => dialog.close() }, t("close"))),
    el("p", { class: "note" }, t(api.here() ? "camera.here" : "camera.private")));
  dialog.addEventListener("close", () => { for (const track of stream.getTracks()) track.stop(); }, { once: true });
  dialog.showModal();
}
