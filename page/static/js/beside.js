// A second network on the same picture: both answers side by side, what each took and how large it is.

import * as api from "./api.js";
import { byID, el } from "./dom.js";
import { t, count, real, size } from "./words.js";
import { state, tell, when } from "./state.js";
import { className } from "./names.js";
import { line } from "./answer.js";

const shown = 5; // classes of each

let both = null; // what the two answered: [{model, answer, total}, ...]
let asking = new AbortController();

export function startBeside() {
  byID("beside").addEventListener("change", (event) => {
    state.beside = event.target.value;
    tell("beside");
  });
  when("models language", choices);
  when("beside", () => { choices(); ask(); });
  when("visit", ask);
  when("language", () => { if (both) show(); });
}

const second = () => state.models.find((m) => m.name === state.beside && m !== state.model);

// choices are the models that are not asked already.
function choices() {
  const others = state.models.filter((m) => m !== state.model);
  byID("beside-choice").hidden = others.length === 0;
  byID("beside").replaceChildren(el("option", { value: "" }, t("beside.none")),
    ...others.map((m) => el("option", { value: m.name, selected: m.name === state.beside }, m.name)));
}

async function ask() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const { visit, model } = state;
  const other = second();
  both = null;
  show();
  if (!visit || !other) return;
  byID("beside-note").textContent = t("why.running");
  try {
    const [answer, ...reports] = await Promise.all([api.answerOf(other.name, visit.file, signal), ...[model, other].map((m) => api.archOf(m.name))]);
    if (signal.aborted) return;
    both = [[model, visit], [other, answer]].map(([m, a], i) => ({ model: m, answer: a, total: reports[i].total }));
  } catch (error) {
    if (signal.aborted) return;
    api.complain(error, error.after ? ask : undefined);
  }
  show();
}

const name = (c) => className(c.class, c.label ?? null);

function show() {
  byID("beside-note").textContent = "";
  byID("beside-shown").replaceChildren(...(both ? [el("p", { id: "beside-words", "data-same": same() }, words()), el("div", { class: "beside" }, both.map(column))] : []));
}

// alike says whether both know the same classes; those without names are told apart by their number alone.
function alike() {
  const [a, b] = both.map(({ model }) => model);
  return a.class_count === b.class_count && a.classes.length === b.classes.length && a.classes.every((c, i) => c === b.classes[i]);
}

const best = () => both.map(({ answer }) => answer.classes[0]);

// same says whether both give the same answer: of other classes, one of the same name.
function same() {
  const [a, b] = best();
  return alike() ? a.class === b.class : a.label !== undefined && a.label === b.label;
}

function words() {
  const [first, other] = best().map(name);
  const [n, m] = both.map(({ model }) => count(model.class_count));
  const told = same() ? t("beside.same", { label: first }) : t("beside.differ", { first, second: other });
  return alike() ? told : told + t("beside.classes", { n, m });
}

function column({ model, answer, total }) {
  const fact = (key, words) => el("div", {}, el("dt", {}, t(`beside.${key}`)), el("dd", {}, words));
  return el("section", { "aria-label": model.name, "data-beside": model.name },
    el("h3", {}, model.name),
    model.random && el("p", { class: "note" }, t("model.random")),
    el("ol", { class: "classes two" }, answer.classes.slice(0, shown).map((c) => line(c, name(c)))),
    el("dl", { class: "facts" },
      fact("time", t("beside.ms", { ms: real(1000 * answer.seconds, 3) })),
      fact("parameters", el("data", { value: total.parameters }, count(total.parameters))),
      fact("macs", el("data", { value: total.macs_per_image }, count(total.macs_per_image))),
      fact("input", size(model.input))));
}
