// Loss and accuracy as they come.

import { el, svg } from "./dom.js";
import { t, count, percent, real } from "./words.js";

const [width, height] = [480, 150];
const [left, right, top, bottom] = [44, 8, 8, 22]; // room for the figures
const most = 400; // points of a line; of more steps several are averaged

// curves draws the losses of all steps and the shares of right answers of all tests. guess is the number of classes: a network that knows
// nothing has a loss of its logarithm.
export function curves(box, losses, tests, classes) {
  const guess = Math.log(classes);
  const steps = Math.max(losses.length, 1);
  const per = Math.ceil(losses.length / most) || 1;
  const points = [];
  for (let i = 0; i < losses.length; i += per) {
    const part = losses.slice(i, i + per);
    points.push([i + part.length, part.reduce((sum, x) => sum + x, 0) / part.length]);
  }
  const high = Math.max(guess * 1.1, ...points.map(([, loss]) => (Number.isFinite(loss) ? loss : 0)));
  const last = tests.at(-1);
  box.replaceChildren(
    chart("loss", t("train.curve.loss"), points, steps, high, (v) => real(v, 2), t("train.curve.loss.label", { first: real(losses[0] ?? NaN, 3), last: real(losses.at(-1) ?? NaN, 3), n: count(losses.length) }),
      { at: guess, words: t("train.curve.guess") }),
    chart("accuracy", t("train.curve.accuracy"), tests.map((x) => [x.step, x.accuracy]), steps, 1, (v) => percent(v, 0), t("train.curve.accuracy.label", { share: last ? percent(last.accuracy) : "" })));
}

function chart(kind, title, points, steps, high, write, label, mark) {
  const x = (step) => left + ((width - left - right) * step) / steps;
  const y = (v) => height - bottom - ((height - top - bottom) * v) / high;
  const line = points.map(([step, v], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const text = (at, down, words, anchor) => svg("text", { x: at, y: down, "text-anchor": anchor }, words);
  return el("figure", { class: "curve" }, el("h3", {}, title), svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, "data-curve": kind, "data-points": points.length },
    [0, high / 2, high].flatMap((v) => [svg("line", { class: "baseline", x1: left, x2: width - right, y1: y(v), y2: y(v) }), text(left - 6, y(v) + 4, write(v), "end")]),
    text(left, height - 6, "0", "start"), text(width - right, height - 6, count(steps), "end"), text(width / 2, height - 6, t("train.curve.steps"), "middle"),
    mark && svg("line", { class: "guess", x1: left, x2: width - right, y1: y(mark.at), y2: y(mark.at) }), mark && text(width - right, y(mark.at) - 4, mark.words, "end"),
    svg("path", { class: `line-${kind}`, d: line }),
    kind === "accuracy" && points.map(([step, v]) => svg("circle", { class: "dot", cx: x(step), cy: y(v), r: points.length > 60 ? 1.5 : 3 }))));
}
