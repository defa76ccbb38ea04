// The time of this very run, layer by layer, beside the work of each.

import { byID, el } from "./dom.js";
import { t, percent, count } from "./words.js";
import { state, when, ownModel, kindOf } from "./state.js";
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
  note.textContent = t(visit.runs > 1 ? "time.note" : "time.note.once", { ms: milliseconds(visit.seconds), n: visit.runs });
  const layers = new Map(report.layers.map((l) => [l.name, l]));
  const work = (group) => group.layers.reduce((sum, name) => sum + (layers.get(name)?.macs_per_image ?? 0), 0);
  const slowest = Math.max(...visit.groups.map((s) => s.seconds));
  const heaviest = Math.max(...visit.groups.map(work), 1);
  const bar = (group, share) => el("span", { class: `meter k-${kindOf(layers.get(group.layers[0]))}`, "aria-hidden": "true" }, el("span", { style: { width: `${100 * share}%` } }));
  byID("time-table").replaceChildren(
    el("thead", {}, el("tr", {}, ["layer", "time", "share", "macs", "algorithm"].map((c) => el("th", { scope: "col" }, t(`time.col.${c}`))))),
    el("tbody", {}, visit.groups.map((s) =>
      el("tr", {},
        el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => { choose(s.layers[0]); go("layer"); } }, s.layers.join(" + "))),
        el("td", { class: "figure" }, `${milliseconds(s.seconds)} ms`, bar(s, s.seconds / slowest)),
        el("td", { class: "figure" }, percent(s.seconds / visit.seconds)),
        el("td", { class: "figure" }, work(s) ? percent(work(s) / report.total.macs_per_image) : "", work(s) ? bar(s, work(s) / heaviest) : ""),
        el("td", {}, s.algorithm ? t(`algo.${s.algorithm}`) : "")))));
  words(visit, layers, work);
}

// words say why it takes what it takes: the shares of this very network, and a reason only where the figures bear it out.
function words(visit, layers, work) {
  const of = (s) => layers.get(s.layers[0]).kind;
  const part = (kind) => visit.groups.filter((s) => of(s) === kind);
  const time = (groups) => groups.reduce((sum, s) => sum + s.seconds, 0) / visit.seconds;
  const { total } = state.report;
  const all = total.macs_per_image;
  const share = (groups) => groups.reduce((sum, s) => sum + work(s), 0) / all;
  const [convs, linears] = [part("conv"), part("linear")];
  const paragraphs = [];
  if (convs.length > 0) paragraphs.push(t("time.why", { macs: count(all), conv: percent(share(convs)), convtime: percent(time(convs)) }));
  if (linears.length > 0 && total.parameters > 0) {
    const parameters = linears.flatMap((s) => s.layers).reduce((sum, n) => sum + layers.get(n).weights + layers.get(n).biases, 0);
    const shares = { params: parameters / total.parameters, macs: share(linears), time: time(linears) };
    const told = { params: percent(shares.params), macs: percent(shares.macs), time: percent(shares.time) };
    paragraphs.push(t("time.linear", told) + (shares.time > 1.5 * shares.macs ? t("time.linear.why") : ""));
  }
  const tiles = [...new Set(visit.groups.map((s) => /^winograd(\d)$/.exec(s.algorithm ?? "")?.[1]).filter(Boolean))].map(Number).sort();
  for (const m of tiles) {
    const by = visit.groups.filter((s) => s.algorithm === `winograd${m}`).map((s) => s.layers[0]);
    paragraphs.push(t("time.winograd", { layers: by.join(", "), m, n: m + 2, nn: (m + 2) ** 2, mm: m * m, nine: 9 * m * m, times: ((9 * m * m) / (m + 2) ** 2).toFixed(2) }));
  }
  const plain = visit.groups.filter((s) => s.algorithm === "direct").map((s) => s.layers[0]);
  if (plain.length > 0) paragraphs.push(t("time.direct", { layers: plain.join(", ") }));
  byID("time-words").replaceChildren(...paragraphs.map((p) => el("p", {}, p)));
}
