// The page on a site without a server. The same handlers run as WebAssembly in a worker, and the page asks them through the door that
// api.js has for it: not through the service worker, which is there for the time without a network, and which browsers do not have on
// plain http from another computer, in some private windows, nor at a reload that passes over it.

import { inputURL, through, complain, models, Refusal } from "./api.js";
import { byID, el } from "./dom.js";
import { spoken } from "./words.js";
import { state, tell, when } from "./state.js";

const words = {
  en: {
    here: "This page has no server: the network runs in your browser, and no picture leaves it.",
    missing: "It computes by plain loops; {command} on your computer is many times faster, and answers programs too.",
    open: "Open weights of your own",
    opening: "Opening {file} …",
    ended: "The program of this page could not be loaded, or it has ended for want of memory.",
    again: "Try again: it is started anew, without weights that you had opened.",
  },
  zh: {
    here: "此页面没有服务器：网络就在你的浏览器里运行，图片不会离开浏览器。",
    missing: "这里只用普通循环计算；在你的电脑上运行 {command} 要快许多倍，也能回答程序的请求。",
    open: "打开自己的权重",
    opening: "正在打开 {file} …",
    ended: "网页里的程序没能加载，或者因内存不足而结束。",
    again: "请再试一次：程序会重新启动，你打开过的权重不会保留。",
  },
};
const t = (key, file = "") => words[spoken()][key].replace("{file}", file);

let worker = null;
let own = false; // whether weights are open that a reload would lose
let number = 0;
const waiting = new Map(); // what the worker was asked, by its number: {yes, no}

// hire starts the worker.
function hire() {
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => {
    if (data.ended) return lose();
    const asked = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.fault === undefined) asked?.yes(data);
    else asked?.no(new Error(data.fault));
  };
  worker.onerror = lose;
}

// lose fails what was asked of a worker that has ended. The next question has a new one.
function lose() {
  worker.terminate();
  worker = null;
  own = false;
  const fault = new Refusal("ended", t("ended"), t("again"), 1);
  fault.own = true; // it is in the reader's language
  for (const { no } of waiting.values()) no(fault);
  waiting.clear();
}

// told sends the worker a request or weights, and is what it answers.
function told(message, signal) {
  signal?.throwIfAborted();
  const id = ++number;
  if (!worker) hire();
  return new Promise((yes, no) => {
    waiting.set(id, { yes, no });
    signal?.addEventListener("abort", () => {
      if (!waiting.delete(id)) return;
      worker.postMessage({ cancel: id });
      no(signal.reason);
    });
    worker.postMessage({ id, ...message });
  });
}

const bytesOf = async (body) => new Uint8Array(await new Response(body).arrayBuffer());

const pictures = new Map(); // the addresses in this tab of what inputURL names

// ask is fetch, of the worker.
async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const answer = await told({ request: { method, path: `/${path}`, kind: headers["Content-Type"] ?? "", body: body === undefined ? null : await bytesOf(body) } }, signal);
  if (answer.status === 200 && method === "POST" && /^v1\/inside(\?|$)/.test(path)) {
    const { id } = JSON.parse(new TextDecoder().decode(answer.body));
    if (id) await fetchPictures(id); // or nothing is kept
  }
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}

// fetchPictures makes addresses for the images of a visit. Those of the one before may still be shown.
async function fetchPictures(id) {
  for (const as of ["input", "photograph"]) {
    const path = inputURL(id, as);
    const answer = await ask(path);
    pictures.set(path, URL.createObjectURL(await answer.blob()));
  }
  for (const path of [...pictures.keys()].slice(0, -4)) {
    URL.revokeObjectURL(pictures.get(path));
    pictures.delete(path);
  }
}

// open has a file of weights answer beside the embedded network.
async function open(file) {
  const note = byID("site-open");
  note.textContent = t("opening", file.name);
  const named = file.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 60);
  try {
    await told({ weights: { file: file.name, model: `own-${named}`, body: await bytesOf(file) } });
    own = true;
    const found = await models();
    Object.assign(state, { models: found.models, model: found.models[0], opened: found.models[0].name, visit: null });
    tell("visit");
    tell("models");
  } catch (error) {
    complain(error instanceof Refusal ? error : new Refusal("weights", error.message));
  } finally {
    note.textContent = "";
  }
}

const isPicture = (file) => file.type.startsWith("image/");

// notice says where the answers come from, and opens weights: by a button, or dropped anywhere.
function notice() {
  const input = el("input", { type: "file", id: "site-file" });
  input.addEventListener("change", () => {
    if (input.files.length > 0) open(input.files[0]);
    input.value = "";
  });
  const here = el("p", { class: "note", id: "site-note" });
  const label = el("span");
  const show = () => {
    const [before, after] = t("missing").split("{command}");
    here.replaceChildren(t("here"), " ", before, el("code", {}, "vggo serve"), after);
    label.textContent = t("open");
  };
  byID("model-note").after(here, el("div", { class: "row" }, el("label", { class: "button", for: "site-file" }, input, label), el("span", { class: "note", id: "site-open", role: "status" })));
  when("models language", show); // the words are there before the models
  show();
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    const file = event.dataTransfer.files[0];
    if (!file || isPicture(file)) return;
    event.preventDefault();
    event.stopPropagation();
    byID("drop").classList.remove("over");
    open(file);
  }, { capture: true });
  for (const link of document.querySelectorAll('a[href="/openapi.yaml"]')) link.parentElement.remove(); // no program can ask this
}

// offline has the service worker keep the site, once that takes nothing from the page's first answer.
function offline() {
  navigator.serviceWorker?.register(new URL("../sw.js", import.meta.url), { updateViaCache: "none" }).catch(() => {}); // where it may not, the site works online
}

// A new version takes this page's place at once: what the page is about stands in its address, and its picture is kept.
if (navigator.serviceWorker?.controller) {
  navigator.serviceWorker.addEventListener("controllerchange", () => { if (!own) location.reload(); });
}

hire();
through({ ask, address: (path) => pictures.get(path) ?? path, here: true });
notice(); // before the page goes to what the address asks for
await import("./main.js");
offline();
