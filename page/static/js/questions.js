// Questions that a reader may come with. Each is a link to the part of the page that answers it.

import { byID, el } from "./dom.js";
import { t } from "./words.js";
import { state, when, rows, ownModel } from "./state.js";
import { steps } from "./steps.js";

let own = { convs: [], steps: [] }; // names of the asked model's convolutions, and of the story's steps with it

export function startQuestions() {
  when("report language visit models", show);
}

function show() {
  if (!state.model) return;
  if (ownModel()) own = { convs: rows(state.report).filter((r) => r.kind === "conv").map((r) => r.name), steps: steps.filter((s) => s.is()).map((s) => s.name) };
  const network = state.model.name;
  const picture = state.visit ? {} : { picture: "cat" };
  const layer = own.convs.includes("conv3_2") ? "conv3_2" : own.convs.at(-1);
  const step = (name) => own.steps.includes(name) && { network, tour: own.steps.indexOf(name) + 1 };
  const asks = {
    convolution: step("kernel"),
    three: { network, show: "lab", ...picture },
    parameters: state.networks.includes("vgg16") && { network: "vgg16", show: "parameters" },
    layer: layer && { network, layer, show: "maps", ...picture },
    why: step("why"),
  };
  byID("asks").replaceChildren(...Object.entries(asks).filter(([, to]) => to).map(([name, to]) =>
    el("li", {}, el("a", { href: `#${new URLSearchParams(to)}`, "data-ask": name }, t(`ask.${name}`, { layer })))));
}
