// Why this answer: where in the picture a class was seen.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, percent, count, real } from "./words.js";
import { state, when } from "./state.js";
import { label, again } from "./picture.js";
import { paintHeat } from "./colour.js";
import { scaleOf } from "./scale.js";

let running;

export function startWhy() {
  for (const radio of document.querySelectorAll("input[name=overlay]")) radio.addEventListener("change", show);
  byID("why-class").addEventListener("change", show);
  byID("why-strength").addEventListener("input", strength);
  byID("frame").addEventListener("pointermove", here);
  byID("frame").addEventListener("pointerleave", () => { byID("heat-here").textContent = ""; });
  when("visit language", renew);
}

const overlay = () => document.querySelector("input[name=overlay]:checked").value;

function renew() {
  const { visit } = state;
  byID("why").hidden = !visit;
  if (!visit) {
    hide();
    return;
  }
  const chosen = byID("why-class").value;
  byID("why-class").replaceChildren(...visit.classes.slice(0, 20).map((c) =>
    el("option", { value: c.class, selected: String(c.class) === chosen }, `${label(c)} (${percent(c.probability)})`)));
  show();
}

function strength() {
  byID("heat").style.opacity = byID("why-strength").value / 100;
}

function hide() {
  state.heat = null;
  const canvas = byID("heat");
  canvas.hidden = true;
  canvas.dataset.kind = "none";
  byID("why-note").textContent = "";
  byID("heat-scale").replaceChildren();
  byID("heat-here").textContent = "";
}

// figure writes a value of a heat map: of occlusion a part of a probability.
const figure = (kind) => (kind === "occlusion" ? (v) => t("why.points", { n: v === 0 ? "0" : (100 * v).toPrecision(3) }) : (v) => real(v, 3));

async function show() {
  running?.abort();
  hide();
  const canvas = byID("heat");
  const note = byID("why-note");
  const kind = overlay();
  const { visit } = state;
  if (kind === "none" || !visit) return;
  running = new AbortController();
  note.textContent = t("why.running");
  try {
    const heat = await api.heat(visit.id, kind, { class: byID("why-class").value }, running.signal);
    paintHeat(canvas, heat.width, heat.height, heat.heat);
    canvas.hidden = false;
    canvas.dataset.kind = kind;
    strength();
    state.heat = { ...heat, kind, visit };
    const words = kind === "gradcam" ? t("why.gradcam.note", { layer: heat.layer }) : t("why.occlusion.note", { n: count(heat.passes), side: heat.side });
    note.textContent = heat.most > 0 ? words : t(`why.${kind}.nothing`, { layer: heat.layer, n: count(heat.passes ?? 0), side: heat.side });
    if (heat.most > 0) byID("heat-scale").replaceChildren(scaleOf(0, heat.most, figure(kind)), el("p", { class: "note" }, t(`why.${kind}.scale`)));
  } catch (error) {
    if (error.name !== "AbortError") note.textContent = "";
    if (error.kind === "not_found") await again();
    else api.complain(error, error.after ? show : undefined);
  }
}

// here tells the heat under the pointer.
function here(event) {
  const { heat } = state;
  if (!heat || !(heat.most > 0)) return;
  const r = byID("heat").getBoundingClientRect();
  const at = (position, length, n) => Math.min(Math.max(Math.floor((position / length) * n), 0), n - 1);
  const value = heat.heat[at(event.clientY - r.top, r.height, heat.height) * heat.width + at(event.clientX - r.left, r.width, heat.width)];
  byID("heat-here").textContent = t("why.here", { value: figure(heat.kind)(value * heat.most) });
}
