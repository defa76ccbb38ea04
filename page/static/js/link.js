// A link to the view at hand, in the clipboard; where that is refused it is shown, to be copied by hand.

import { byID, el } from "./dom.js";
import { t } from "./words.js";
import { state, when } from "./state.js";
import { link } from "./address.js";

const stays = 6000; // milliseconds that the acknowledgment stays
let timer;

export function startLink() {
  byID("link").addEventListener("click", copy);
  when("language", () => tell(""));
}

async function copy() {
  const address = link();
  try {
    await navigator.clipboard.writeText(address); // there is no clipboard on plain http from another computer
    tell([t("link.done"), ...lacks()].join(t("link.space")));
  } catch {
    show(address);
  }
}

// lacks says what no address can hold.
const lacks = () => [
  state.file && !state.example && t("link.picture"),
  state.opened && state.opened === state.model?.name && t("link.weights"),
  state.source?.build?.includes("\n") && t("link.build"),
].filter(Boolean);

function tell(words) {
  const told = byID("link-told");
  told.textContent = words;
  clearTimeout(timer);
  timer = setTimeout(() => { told.textContent = ""; }, stays);
}

function show(address) {
  const input = el("input", { id: "link-text", readonly: true, value: address, "aria-labelledby": "link-title", "aria-describedby": "link-why" });
  byID("link-dialog").replaceChildren(
    el("h2", { id: "link-title" }, t("link.title")),
    el("p", { id: "link-why" }, [t("link.refused"), ...lacks()].join(t("link.space"))), input,
    el("form", { method: "dialog" }, el("button", { class: "primary" }, t("close"))));
  byID("link-dialog").showModal();
  input.select();
}
