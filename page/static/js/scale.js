// Scales: what the colours of a map stand for, with zero marked.

import { el } from "./dom.js";
import { t, real } from "./words.js";
import { paintShades } from "./colour.js";

const steps = 256;

// scaleOf is a bar from dark to bright with the values that its ends stand for, and a mark at zero where it lies between them.
export function scaleOf(low, high, write = real) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  paintShades(canvas, steps, 1, Uint8Array.from({ length: steps }, (_, i) => (high > low ? i : 0)));
  const zero = high > low ? -low / (high - low) : NaN;
  const marked = zero >= 0 && zero <= 1;
  const inside = zero > 0.12 && zero < 0.88; // there is room for the figure between the ends' own
  const middle = high > low && !inside && el("span", { class: "nought", style: { left: "50%" } }, write((low + high) / 2));
  const at = { style: { left: `${100 * zero}%` } };
  return el("div", { class: "scale", role: "img", "data-low": low, "data-high": high, "data-zero": marked ? zero : "",
    "aria-label": t(marked && inside ? "scale.zero" : "scale", { low: write(low), high: write(high) }) },
    el("div", { class: "ramp" }, canvas, marked && el("span", { class: "zero", ...at })),
    el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, write(low)), marked && inside && el("span", { class: "nought", ...at }, "0"), middle, el("span", {}, write(high))));
}
