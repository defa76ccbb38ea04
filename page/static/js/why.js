// Why this answer: where in the picture a class was seen.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, percent, count } from "./words.js";
import { state, when } from "./state.js";
import { label, again } from "./picture.js";
import { paintHeat } from "./colour.js";

let running;

export function startWhy() {
  for (const radio of document.querySelectorAll("input[name=overlay]")) radio.addEventListener("change", show);
  byID("why-class").addEventListener("change", show);
  byID("why-strength").addEventListener("input", strength);
  when("visit language", renew);
}

const overlay = () => document.querySelector("input[name=overlay]:checked").value;

function renew() {
  const { visit } = state;
  byID("why").hidden = !visit;
  if (!visit) {
    byID("heat").hidden = true;
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

async function show() {
  running?.abort();
  const canvas = byID("heat");
  const note = byID("why-note");
  const kind = overlay();
  canvas.hidden = true;
  canvas.dataset.kind = "none";
  note.textContent = "";
  if (kind === "none" || !state.visit) return;
  running = new AbortController();
  note.textContent = t("why.running");
  try {
    const heat = await api.heat(state.visit.id, kind, { class: byID("why-class").value }, running.signal);
    paintHeat(canvas, heat.width, heat.height, heat.heat);
    canvas.hidden = false;
    canvas.dataset.kind = kind;
    strength();
    note.textContent = kind === "gradcam" ? t("why.gradcam.note", { layer: heat.layer }) : t("why.occlusion.note", { n: count(heat.passes), side: heat.side });
  } catch (error) {
    note.textContent = "";
    if (error.kind === "not_found") await again();
    else api.complain(error, error.after ? show : undefined);
  }
}
