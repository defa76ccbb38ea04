// The page's words in the reader's language, and its numbers.

import { byID } from "./dom.js";
import { tell } from "./state.js";

let words = {};
let fallback = {};
let more = {}; // of other files: what classes are called, what the server says
let language = "en";

export const languages = ["en", "zh"];

// parts are the files of a language's words: the page's, and those of parts of it.
const parts = ["", "story.", "train.", "fool.", "beside."];

async function load(name) {
  const answer = await fetch(`page/${name}.json`);
  return answer.json();
}

const dictionary = async (name) => Object.assign({}, ...await Promise.all(parts.map((part) => load(`${part}${name}`))));

// usual is what was chosen before, else what the browser asks for first.
function usual() {
  const chosen = localStorage.getItem("language");
  if (languages.includes(chosen)) return chosen;
  for (const wanted of navigator.languages) {
    const name = wanted.slice(0, 2).toLowerCase();
    if (languages.includes(name)) return name;
  }
  return "en";
}

export async function startWords() {
  fallback = await dictionary("en");
  await speak(usual());
  byID("language").addEventListener("click", async () => {
    const other = language === "en" ? "zh" : "en";
    localStorage.setItem("language", other);
    await speak(other);
    tell("language");
  });
}

async function speak(name) {
  words = name === "en" ? fallback : await dictionary(name);
  more = name === "en" ? {} : { classes: await load(`classes.${name}`), faults: await load(`faults.${name}`) };
  language = name;
  document.documentElement.lang = name === "zh" ? "zh-CN" : "en";
  document.title = t("title");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  const button = byID("language");
  button.textContent = name === "en" ? "中文" : "English";
  button.lang = name === "en" ? "zh" : "en";
  button.setAttribute("aria-label", name === "en" ? "切换到中文" : "Switch to English");
}

// t is a sentence, with values in place of {names}.
export function t(key, values = {}) {
  const text = words[key] ?? fallback[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// has says whether there are words for a key.
export const has = (key) => key in fallback;

export const spoken = () => language;

// wordsOf is another file of this language: "classes" by their English names, "faults" as pairs of a pattern and a sentence.
export const wordsOf = (file) => more[file] ?? {};

const locale = () => (language === "zh" ? "zh-CN" : "en-US");

// count writes a whole number with separators.
export const count = (n) => new Intl.NumberFormat(locale(), { maximumFractionDigits: 0 }).format(n);

// percent writes a share; of less than the last digit, or of nearly all, it says so.
export function percent(share, digits = 1) {
  const least = 10 ** -(digits + 2);
  if (share > 0 && share < least) return `<${percentOf(least, digits)}`;
  if (share < 1 && share > 1 - least) return `>${percentOf(1 - least, digits)}`;
  return percentOf(share, digits);
}

const percentOf = (share, digits) =>
  new Intl.NumberFormat(locale(), { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);

// scaled writes a value with three or four digits and a decimal prefix, as vggo arch does.
export function scaled(value, unit) {
  const prefixes = ["", "k", "M", "G", "T", "P", "E"];
  let i = 0;
  for (; value >= 999.95 && i < prefixes.length - 1; i++) value /= 1000;
  const digits = i === 0 ? 0 : value < 9.995 ? 2 : 1;
  return `${value.toFixed(digits)} ${prefixes[i]}${unit}`;
}

export const bytes = (n) => scaled(n, "B");

// real writes a value of a map or a weight.
export function real(x, digits = 4) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e5 || size < 1e-4) return x.toExponential(2).replace("-", "−").replace("e+", "e").replace(/e−/, "e−");
  return x.toPrecision(digits).replace("-", "−");
}

export const size = (shape) => `${shape.h}×${shape.w}×${shape.c}`;
