// The time of this very run, layer by layer, beside the work of each.

import { byID, el } from "./dom.js";
import { t, percent, count } from "./words.js";
import { state, when, ownModel } from "./state.js";
import { choose, go } from "./address.js";

export function startTime() {
  when("visit report language", show);
}

const milliseconds = (s) => (1000 * s).toPrecision(3);

function show() {
  const { visit, report } = state;
  const ready = Boolean(visit && ownModel());
  byID("time-card").hidden = !ready;
  const note = byID("time-note");
  if (!ready) {
    note.textContent = t(visit ? "time.other" : "time.none");
    return;
  }
  note.textContent = t("time.note", { ms: milliseconds(visit.seconds) });
  const layers = new Map(report.layers.map((l) => [l.name, l]));
  const work = (stage) => stage.layers.reduce((sum, name) => sum + (layers.get(name)?.macs_per_image ?? 0), 0);
  const slowest = Math.max(...visit.stages.map((s) => s.seconds));
  const heaviest = Math.max(...visit.stages.map(work), 1);
  const bar = (kind, share) => el("span", { class: `meter ${kind}`, "aria-hidden": "true" }, el("span", { style: { width: `${100 * share}%` } }));
  byID("time-table").replaceChildren(
    el("thead", {}, el("tr", {}, ["layer", "time", "share", "macs", "algorithm"].map((c) => el("th", { scope: "col" }, t(`time.col.${c}`))))),
    el("tbody", {}, visit.stages.map((s) =>
      el("tr", {},
        el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => { choose(s.layers[0]); go("layer"); } }, s.layers.join(" + "))),
        el("td", { class: "figure" }, `${milliseconds(s.seconds)} ms`, bar("time", s.seconds / slowest)),
        el("td", { class: "figure" }, percent(s.seconds / visit.seconds)),
        el("td", { class: "figure" }, work(s) ? percent(work(s) / report.total.macs_per_image) : "", work(s) ? bar("macs", work(s) / heaviest) : ""),
        el("td", {}, s.algorithm ? t(`algo.${s.algorithm}`) : "")))));
  words(visit, layers, work);
}

// words say why it takes what it takes.
function words(visit, layers, work) {
  const kindOf = (s) => layers.get(s.layers[0]).kind;
  const part = (kind) => visit.stages.filter((s) => kindOf(s) === kind);
  const time = (stages) => stages.reduce((sum, s) => sum + s.seconds, 0) / visit.seconds;
  const all = state.report.total.macs_per_image;
  const share = (stages) => stages.reduce((sum, s) => sum + work(s), 0) / all;
  const parameters = part("linear").flatMap((s) => s.layers).reduce((sum, n) => sum + layers.get(n).weights + layers.get(n).biases, 0);
  const tiles = [...new Set(visit.stages.map((s) => /winograd(\d)/.exec(s.algorithm ?? "")?.[1]).filter(Boolean))].map(Number).sort();
  const paragraphs = [t("time.why", { macs: count(all), conv: percent(share(part("conv"))), convtime: percent(time(part("conv"))) })];
  if (part("linear").length > 0) {
    paragraphs.push(t("time.linear", { params: percent(parameters / state.report.total.parameters), macs: percent(share(part("linear"))), time: percent(time(part("linear"))) }));
  }
  if (tiles.length > 0) {
    const m = tiles.at(-1);
    paragraphs.push(t("time.winograd", { m, n: m + 2, nn: (m + 2) ** 2, mm: m * m, nine: 9 * m * m, times: ((9 * m * m) / (m + 2) ** 2).toFixed(2) }));
  } else {
    paragraphs.push(t("time.direct"));
  }
  byID("time-words").replaceChildren(...paragraphs.map((p) => el("p", {}, p)));
}
