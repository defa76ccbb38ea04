// Where the picture comes from: a file, the clipboard, the camera or an example; and the way of it through the network.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, percent } from "./words.js";
import { state, tell, when } from "./state.js";

const examples = ["cat", "owl", "hotdog", "boot"];
const file = (name) => `/page/${name}.${name === "boot" ? "png" : "jpg"}`;

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
  when("language", showExamples);
  when("models", () => {
    if (state.file) give(state.file);
  });
  showExamples();
}

function showExamples() {
  byID("examples").replaceChildren(
    ...examples.map((name) =>
      el("button", { type: "button", class: "example", "data-example": name, onclick: () => giveExample(name) },
        el("img", { src: file(name), alt: t(`example.${name}`), width: 56, height: 56 }))));
}

async function giveExample(name) {
  try {
    const answer = await fetch(file(name));
    await give(await answer.blob());
  } catch {
    api.complain(new api.Refusal("silent", t("fault.silent"), t("fault.silent.hint")), () => giveExample(name));
  }
}

let turn = 0; // the newest picture wins

// give sends a picture through the network.
export async function give(picture) {
  const mine = ++turn;
  state.file = picture;
  document.body.dataset.busy = "true";
  byID("live").textContent = t("see.running");
  byID("seen-note").textContent = t("see.running");
  try {
    const visit = await api.inside(state.model.name, picture);
    if (mine !== turn) return;
    api.settle();
    await show(visit);
    state.visit = visit;
    tell("visit");
    const best = visit.classes[0];
    byID("live").textContent = t("answer.live", { label: label(best), share: percent(best.probability) });
  } catch (error) {
    if (mine !== turn) return;
    byID("live").textContent = "";
    byID("seen-note").textContent = "";
    api.complain(error, error.kind === "silent" || error.after ? () => give(picture) : undefined);
  } finally {
    if (mine === turn) delete document.body.dataset.busy;
  }
}

// again sends the same picture once more, because the server has forgotten what it made of it.
export async function again() {
  if (state.file) await give(state.file);
}

// show shows the picture as the network sees it.
async function show(visit) {
  const image = byID("shown");
  image.src = api.inputURL(visit.id);
  image.alt = t("see.alt");
  await image.decode();
  image.hidden = false;
  byID("empty").hidden = true;
  const { input } = state.model;
  document.body.classList.toggle("coarse", input.w < 128); // so few pixels are shown as they are
  byID("seen-note").textContent = t(input.c === 1 ? "see.as.grey" : "see.as", { w: visit.width, h: visit.height, iw: input.w, ih: input.h });
}

export const label = (c) => c.label || t("answer.class", { n: c.class });

async function openCamera() {
  const dialog = byID("camera-dialog");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    api.complain(new api.Refusal("camera", t("camera.none"), t("camera.none.hint")));
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
    el("p", { class: "note" }, t("camera.private")));
  dialog.addEventListener("close", () => { for (const track of stream.getTracks()) track.stop(); }, { once: true });
  dialog.showModal();
}
