// The address: #network=vgg16&layer=conv3_1&show=weights leads to one number, and says where the reader is, so that a reload or a link
// comes back to the same map and cell.

import { byID, calm, land } from "./dom.js";
import { state, tell, when, rowOf, firstLayer } from "./state.js";
import { draw } from "./network.js";
import { restore } from "./picture.js";
import { openNumber } from "./table.js";

// Parts of the page that show=… may name; anything else is a quantity of the layer, or of the whole network.
const parts = { maps: "layer", filters: "layer", excite: "layer", cell: "layer", picture: "see", network: "network", lab: "lab", last: "last", time: "time", build: "build", layer: "layer", learn: "train" };

let own = ""; // what this page wrote itself
let opened = {}; // what the address asked for when the page was opened
let turn = 0; // the newest address wins

const read = (hash = location.hash) => Object.fromEntries(new URLSearchParams(hash.slice(1)));

// asksFor is the example that the address names.
export const asksFor = () => read().picture;

export async function startAddress() {
  opened = read();
  await follow(opened);
  addEventListener("hashchange", async (event) => {
    const { hash } = new URL(event.newURL); // what is answered meanwhile may have written the address anew
    if (hash === own || !hash.includes("=")) return;
    const asked = read(hash);
    const mine = ++turn;
    if (asked.picture && asked.picture !== state.example) await restore(asked.picture); // before it is known where its parts lie
    if (mine === turn) await follow(asked);
    if (mine === turn) set(asked);
  });
  for (const link of document.querySelectorAll("a[data-part]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in another tab, by its address
      event.preventDefault();
      go(parts[link.dataset.part]);
    });
  }
  when("layer report cell visit tab models tour beside", soon);
  write();
}

const whole = (text) => (/^\d{1,9}$/.test(text ?? "") ? Number(text) : 0);

// follow shows what the address asks for.
async function follow(asked) {
  const model = state.models.find((m) => m.name === (asked.model ?? asked.network)) ?? state.model;
  if (model !== state.model) {
    state.model = model;
    tell("models");
  }
  state.beside = state.models.find((m) => m.name === asked.beside)?.name ?? "";
  tell("beside");
  const source = { input: asked.input, batch: asked.batch };
  if (asked.build) source.build = asked.build;
  else source.network = asked.network || model.name;
  if (!(await draw(source)) || !state.report) return;
  const row = asked.layer && rowOf(state.report, asked.layer);
  if (row && asked.map !== undefined) state.asked = { layer: row.name, channel: whole(asked.map), y: whole(asked.y), x: whole(asked.x), input: asked.in === undefined ? -1 : whole(asked.in) };
  state.tab = ["filters", "excite"].find((tab) => asked.show === tab || asked.tab === tab) ?? "maps";
  choose(row ? row.name : firstLayer());
  state.score = asked.score === undefined ? null : whole(asked.score);
  tell("score");
  state.tour = whole(asked.tour);
  tell("tour");
  if (state.tour || (!asked.show && !asked.layer)) return;
  const part = parts[asked.show];
  if (part) {
    state.show = asked.show;
    tell("show");
    go(part, true);
  } else if (asked.show) {
    openNumber(asked.layer, asked.show);
  } else {
    go("layer", true);
  }
}

// settle sets what the address asked for once the picture is here.
export const settle = () => set(opened);

// A control with data-link is set by an address that names it.
const called = (control) => control.name || control.id;

function set(asked) {
  for (const control of document.querySelectorAll("[data-link]")) {
    const value = asked[called(control)];
    if (value === undefined || (control.type === "radio" && control.value !== value)) continue;
    if (control.options && ![...control.options].some((o) => o.value === value)) continue;
    control.value = value;
    if (control.type === "radio") control.checked = true;
    for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, { bubbles: true }));
  }
}

// link is the address of the view at hand: beside what the address has anyway, the part of the page that is in view and what is set there.
export function link() {
  write();
  if (state.tour) return location.href; // the story shows its own part
  const section = [...document.querySelectorAll("main > section")].findLast((s) => s.getBoundingClientRect().top < innerHeight / 3) ?? byID("see");
  const [show] = Object.entries(parts).findLast(([, id]) => id === section.id);
  const more = new URLSearchParams({ show });
  if (show === "layer" && state.visit && state.pinned && state.input >= 0) more.set("in", state.input);
  const { of } = byID("last-adds").dataset;
  if (show === "last" && of) more.set("score", of);
  for (const control of section.querySelectorAll("[data-link]")) {
    if (control.checkVisibility() && (control.type !== "radio" || control.checked)) more.set(called(control), control.value);
  }
  return `${location.href}&${more}`;
}

// choose makes a layer the one that is looked into.
export function choose(name) {
  state.layer = name;
  tell("layer");
}

// go brings a part of the page into view. Who arrives there by an address stays there while what lies above it still grows.
export function go(id, arriving = false) {
  if (arriving) land(byID(id));
  else byID(id).scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
  byID(id).focus({ preventScroll: true });
}

let due = false;

// soon writes once what changes in one go. Browsers allow a page some 200 changes of its address in ten seconds, a reader's among them.
function soon() {
  if (due) return;
  due = true;
  queueMicrotask(() => { due = false; write(); });
}

// write keeps the address at what is shown, without a step in the browser's history, and the menu's links with it.
function write() {
  if (!state.report || !state.source) return;
  const { source, model, layer, visit } = state;
  const build = source.build?.includes("\n") ? undefined : source.build; // a description is too long for an address
  const other = model.name === source.network ? undefined : model.name;
  const at = visit && state.pinned ? { channel: state.channel, ...state.cell } : state.asked?.layer === layer ? state.asked : {};
  const all = { network: source.network, build, model: other, beside: state.beside, input: source.input, batch: source.batch, picture: state.example ?? asksForYet(), layer,
    tab: state.tab === "maps" ? undefined : state.tab, map: at.channel, y: at.y, x: at.x, tour: state.tour || undefined };
  const given = Object.entries(all).filter(([, v]) => v !== undefined && v !== null && v !== "");
  own = `#${new URLSearchParams(given)}`.replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":");
  if (location.hash !== own) history.replaceState(null, "", own);
  for (const link of document.querySelectorAll("nav a[data-part]")) link.setAttribute("href", `${own}&show=${link.dataset.part}`);
}

// asksForYet is the example that the address names and that is on its way.
const asksForYet = () => (state.file ? undefined : asksFor());
