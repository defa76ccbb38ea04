// What went wrong, in the reader's language. The server speaks English; its sentences are known here by their patterns. One that is not is
// told by its kind, with the server's own words behind it.

import { el } from "./dom.js";
import { t, has, spoken, wordsOf } from "./words.js";

// translated is a sentence of the server in the reader's language; undefined where it is not known.
export function translated(text) {
  for (const [pattern, words] of wordsOf("faults")) {
    const found = new RegExp(`^${pattern}$`, "s").exec(text);
    if (found) return words.replace(/\$(\d)/g, (_, i) => translated(found[i] ?? "") ?? found[i] ?? "");
  }
  return undefined;
}

const hinted = (hint) => (hint ? el("span", { class: "hint" }, hint) : "");

// said is an error and its hint as nodes for a message.
export function said(error) {
  if (error.own) return [el("strong", {}, t(error.message)), hinted(t(error.hint))];
  if (spoken() === "en") return [el("strong", {}, error.message), hinted(error.hint)];
  const message = translated(error.message);
  const hint = error.hint && translated(error.hint);
  if (message && (hint || !error.hint)) return [el("strong", {}, message), hinted(hint)];
  const kind = `fault.kind.${error.kind}`;
  return [el("strong", {}, message ?? t(has(kind) ? kind : "fault.kind.other")), " ",
    el("details", { class: "original" }, el("summary", {}, t("fault.original")), el("p", { lang: "en" }, `${error.message}${error.hint ? ` (${error.hint})` : ""}`))];
}
