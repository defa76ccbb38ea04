// The answer: the most probable classes, and how much there is to it.

import { byID, el } from "./dom.js";
import { t, count, percent } from "./words.js";
import { state, tell, when } from "./state.js";
import { label } from "./picture.js";
import { className } from "./names.js";
import { draw } from "./network.js";

const shown = 5;

export function startAnswer() {
  byID("model").addEventListener("change", (event) => {
    const before = state.model;
    state.model = state.models.find((m) => m.name === event.target.value);
    state.visit = null;
    tell("visit");
    tell("models");
    if (state.source?.network === before.name) draw({ network: state.model.name });
  });
  when("models language", showModels);
  when("visit language", showAnswer);
}

function showModels() {
  const select = byID("model");
  select.replaceChildren(...state.models.map((m) => el("option", { value: m.name, selected: m === state.model }, m.name)));
  const m = state.model;
  if (!m) return;
  const note = byID("model-note");
  const weights = m.random ? t("model.weights.random") : m.weights === "embedded" ? t("model.weights.embedded") : m.weights;
  note.replaceChildren(
    t("model.note", { network: m.network, weights, classes: count(m.class_count) }),
    m.random ? el("strong", {}, ` ${t("model.random")}`) : "",
    m.classes.length > 0 && m.classes.length <= 20 ? ` ${t("model.classes", { list: m.classes.map((name, n) => className(n, name)).join(t("list.comma")) })}` : "");
  showAnswer();
}

function showAnswer() {
  const list = byID("classes");
  const sure = byID("sure");
  if (!state.visit) {
    list.replaceChildren(el("li", { class: "note" }, t("answer.none")));
    sure.hidden = true;
    return;
  }
  const best = state.visit.classes.slice(0, shown);
  list.replaceChildren(...best.map((c) => line(c, label(c))));
  const words = doubt(best);
  sure.replaceChildren(...words.map((w) => el("span", {}, `${w} `)));
  sure.dataset.unsure = String(unsure(best) && apart());
  sure.hidden = words.length === 0;
}

// line is a class with its probability, as a number and as a bar.
export const line = (c, name) => el("li", { "data-class": c.class, "data-probability": c.probability },
  el("span", { class: "name" }, name),
  el("span", { class: "share" }, percent(c.probability)),
  el("span", { class: "bar", "aria-hidden": "true" }, el("span", { style: { width: `${100 * c.probability}%` } })));

// apart says whether the classes exclude each other: by a sigmoid each has a probability by itself, except where there are two of one output.
const apart = () => state.model.ending === "softmax" || state.model.class_count === 2;

// unsure: the best class has less than half of the probability, or hardly more than the next.
const unsure = ([first, second]) => first.probability < 0.5 || (second !== undefined && first.probability - second.probability < 0.2);

// doubt says how far the answer can be trusted.
function doubt(best) {
  const words = [];
  if (state.model.random) words.push(t("sure.random"));
  else if (unsure(best) && best[1] && apart()) words.push(t("sure.not", { first: label(best[0]), second: label(best[1]) }));
  if (state.model.class_count > 1 && apart()) words.push(t("sure.must", { n: count(state.model.class_count) }));
  return words;
}
