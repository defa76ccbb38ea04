// The story "From pixel to answer": a panel at the foot of the page that has the page show one thing after another, with a question each.
// #tour=3 is its third step. Who leaves it finds it again where it was left.

import * as api from "./api.js";
import { byID, el, land } from "./dom.js";
import { t, count } from "./words.js";
import { state, tell, when, ownModel } from "./state.js";
import { draw } from "./network.js";
import { giveExample, again } from "./picture.js";
import { steps } from "./steps.js";
import { sentence } from "./figure.js";

const first = "cat"; // the example that the story takes where there is no picture

let at = 0; // the step that is shown, from 1; 0: none
let latest = 0; // counts what was begun, of which the newest wins
let end = null; // undoes what a step did to the page
let wanted = false; // whether the panel is to have the focus once its step is shown

class Gone extends Error {} // another step was begun meanwhile

const list = () => steps.filter((s) => s.is());
const kept = () => Number(localStorage.getItem("tour")) || 0;

export function startStory() {
  when("tour", () => {
    if (document.body.dataset.ready === "true" && state.tour !== at) show(state.tour, true);
  });
  when("visit", () => { if (at && state.visit) show(at); });
  when("language", () => { if (at) show(at); });
  when("report tour language", invite);
  byID("story").addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
  });
}

// invite offers the story above the picture: from its start, or where it was left.
function invite() {
  if (!state.report) return;
  const go = (n, words, primary) => el("button", { type: "button", class: primary && "primary", "data-tour": n, onclick: () => show(n, true) }, words);
  const all = count(list().length);
  const left = Math.min(kept(), list().length);
  byID("story-start").replaceChildren(...(left > 1 ? [go(left, t("story.resume", { n: count(left), all }), true), go(1, t("story.anew"))] : [go(1, t("story.begin", { all }), true)]));
}

function leave() {
  latest++;
  end?.();
  end = null;
  at = 0;
  state.tour = 0;
  byID("story").hidden = true;
  document.documentElement.classList.remove("touring");
  unmark();
  tell("tour");
  byID("story-start").querySelector("button").focus({ preventScroll: true });
}

const unmark = () => { for (const e of document.querySelectorAll(".spot")) e.classList.remove("spot"); };

// look marks an element and brings it into view above the panel, with those that stand beside it; where nothing does, to is the part of it
// that must be seen.
function look(element, to) {
  unmark();
  element.classList.add("spot");
  const beside = innerWidth > 720 && element.closest(".look");
  land(beside || to || element);
}

// show has the page show a step; of none it closes the story.
async function show(n, focus) {
  const mine = ++latest;
  wanted ||= focus;
  end?.();
  end = null;
  if (!n) return leave();
  at = n;
  await attempt(mine, async () => {
    if (!state.visit && !(await picture(mine))) return;
    if (!ownModel()) await draw({ network: state.model.name });
    if (mine !== latest) return;
    const all = list();
    at = Math.min(n, all.length);
    state.tour = at;
    localStorage.setItem("tour", at);
    tell("tour");
    await play(all[at - 1], kit(all[at - 1], mine));
  });
}

// attempt does what a step wants done, for as long as it is the step that is shown.
async function attempt(mine, work) {
  try {
    await work();
  } catch (error) {
    if (error instanceof Gone || mine !== latest) return;
    if (error.kind === "not_found") await again();
    else api.complain(error);
  }
}

// picture gives the network an example where it has no picture. The step is shown anew once there is one.
async function picture(mine) {
  await giveExample(first);
  return mine === latest && Boolean(state.visit);
}

// kit is what a step may do: say its words, bring something into view, wait.
const kit = (step, mine) => ({
  alive: () => mine === latest,
  attempt: (work) => attempt(mine, work),
  look: (element, to) => { if (mine === latest) look(element, to); },
  say: (values) => { if (mine === latest) say(step, values); },
  until: async (condition) => {
    while (!condition()) {
      if (mine !== latest) throw new Gone();
      await new Promise((done) => setTimeout(done, 40));
    }
  },
});

function say(step, values) {
  byID("story-text").replaceChildren(...sentence(`story.${step.name}.text`, { ...values, word: el("dfn", {}, t(`story.${step.name}.word`)) }));
}

async function play(step, kit) {
  frame(step);
  const shown = await step.show(kit);
  if (!kit.alive()) return shown.end?.();
  end = shown.end;
  kit.say(shown.say);
  byID("story-tools").replaceChildren(...shown.tools);
  byID("story-ask").replaceWith(question(step, shown.ask));
  kit.look(shown.at, shown.to);
  byID("story").dataset.shown = step.name;
}

// frame builds the panel for a step, with its words yet to come.
function frame(step) {
  const all = list();
  const turn = (n) => () => show(n, true);
  byID("story").replaceChildren(
    el("div", { class: "story-head" },
      el("h2", { id: "story-title", tabindex: -1 }, `${count(at)}. ${t(`story.${step.name}.title`)}`),
      el("div", { class: "row" },
        el("button", { type: "button", id: "story-words", "aria-haspopup": "dialog", onclick: glossary }, t("story.words")),
        el("button", { type: "button", id: "story-leave", onclick: leave }, t("story.leave")))),
    el("div", { class: "story-body" },
      el("div", {}, el("p", { id: "story-text", "aria-live": "polite" }), el("div", { id: "story-tools", class: "row" })),
      el("form", { id: "story-ask" })),
    el("div", { class: "story-foot" },
      el("button", { type: "button", id: "story-back", disabled: at === 1, onclick: turn(at - 1) }, t("story.back")),
      el("span", { class: "note place" }, t("story.place", { n: count(at), all: count(all.length) })),
      el("nav", { "aria-label": t("story.steps") }, el("ol", { class: "story-steps" }, all.map((s, i) => el("li", {},
        el("a", { href: `#tour=${i + 1}`, "aria-current": i + 1 === at ? "step" : null, "aria-label": t("story.step", { n: count(i + 1), title: t(`story.${s.name}.title`) }), onclick: follow(i + 1) }, count(i + 1)))))),
      at < all.length
        ? el("button", { type: "button", id: "story-next", class: "primary", onclick: turn(at + 1) }, t("story.next"))
        : el("button", { type: "button", id: "story-next", class: "primary", onclick: finish }, t("story.finish"))));
  delete byID("story").dataset.shown;
  byID("story").hidden = false;
  document.documentElement.classList.add("touring");
  if (wanted) byID("story-title").focus({ preventScroll: true });
  wanted = false;
}

// follow goes to a step by its link; with a modifier the browser opens it elsewhere.
const follow = (n) => (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(n, true);
};

function finish() {
  localStorage.removeItem("tour");
  leave();
}

// question asks for a number. ask has what its words are filled with, the answer as a figure, and how near is near enough: within so much,
// or near as a share of the answer.
function question(step, ask) {
  const answer = Number(ask.answer.value);
  const enough = ask.within ?? Math.abs(answer) * (ask.near ?? 0) + 1e-9;
  const input = el("input", { id: "story-answer", inputmode: "decimal", autocomplete: "off", spellcheck: "false", size: 9, "aria-describedby": "story-verdict" });
  const verdict = el("p", { id: "story-verdict", role: "status" });
  const judge = (event) => {
    event.preventDefault();
    const given = Number(input.value.replace(/[\s,，%]/g, "").replace(/[−－]/g, "-") || NaN);
    const right = Math.abs(given - answer) <= enough;
    verdict.dataset.right = right;
    verdict.replaceChildren(...(Number.isNaN(given) ? [t("story.number")] : sentence(`story.${step.name}.${right ? "right" : "wrong"}`, ask.values)));
  };
  return el("form", { id: "story-ask", "data-from": ask.answer.dataset.from, "data-answer": answer, onsubmit: judge },
    el("label", { for: "story-answer" }, sentence(`story.${step.name}.ask`, ask.values)),
    el("div", { class: "row" }, input, el("button", { class: "primary", id: "story-check" }, t("story.check"))), verdict);
}

// glossary lists the story's words, each with the step where it first stands.
function glossary() {
  const dialog = byID("glossary");
  const all = list();
  dialog.replaceChildren(
    el("h2", { id: "glossary-title", tabindex: -1, autofocus: true }, t("story.words")),
    el("dl", { class: "glossary" }, all.map((s, i) => el("div", {}, el("dt", {}, t(`story.${s.name}.word`)),
      el("dd", {}, t(`story.${s.name}.means`), " ", el("a", { href: `#tour=${i + 1}`, onclick: (event) => { dialog.close(); follow(i + 1)(event); } }, t("story.first", { n: count(i + 1) })))))),
    el("form", { method: "dialog" }, el("button", { class: "primary" }, t("close"))));
  dialog.showModal();
}
