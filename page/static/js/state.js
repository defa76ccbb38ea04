// What the page is about at the moment, and who wants to know when that changes.

export const state = {
  models: [], // as GET /v1/models tells them
  networks: [], // names of those built in
  model: null, // the one that is asked
  opened: null, // the name of the one whose weights the reader opened
  beside: "", // the name of another whose answer stands beside its own; empty: none
  report: null, // of the network that is drawn, as vggo arch --json tells it
  source: null, // of the report: {network} or {build}, and {input, batch}
  layer: null, // the name of the chosen one
  tab: "maps", // what is shown of it: "maps", "filters" or "excite"
  show: null, // what the address asks to be shown of it
  asked: null, // the map and the cell that the address asks for: {layer, channel, y, x}, and the input channel, if it asks for one
  score: null, // the class that the address asks for in the last step
  file: null, // the picture as it was given
  example: null, // its name, if it is one of the page's own
  visit: null, // what POST /v1/inside answered for it
  channel: 0, // the chosen map
  cell: { y: 0, x: 0 }, // the one of it that is pinned
  pinned: false, // whether they are this layer's
  hover: null, // the one under the pointer, if it is another: {y, x}
  heat: null, // the heat map over the picture: as the server tells it, with its kind and the visit
  tour: 0, // the step of the story that is shown, from 1; 0: none
  input: -1, // the input channel whose window is worked out; -1: the one that adds most
};

const listeners = new Map();

// when has do called after each change of some kind: "models", "report", "layer", "visit", "cell", "hover", "tab", "tour", "score", "beside", "language".
export function when(kinds, todo) {
  for (const kind of kinds.split(" ")) {
    if (!listeners.has(kind)) listeners.set(kind, []);
    listeners.get(kind).push(todo);
  }
}

export function tell(kind) {
  for (const todo of listeners.get(kind) ?? []) todo();
}

// kinds are the few that operations are drawn as.
export const kinds = {
  conv: "conv", linear: "linear", softmax: "softmax", maxpool: "pool", avgpool: "pool", adaptiveavgpool: "pool", globalavgpool: "pool", l2pool: "pool",
  lrn: "norm", batchnorm: "norm", reflectpad: "other", relu: "other", flatten: "other", dropout: "other", sigmoid: "other",
};

export const kindOf = (layer) => (layer.kind === "input" ? "input" : kinds[layer.kind] ?? "other");

// rows are the report's layers that have an output of their own, each with those in place after it, as vggo arch's table.
export function rows(report) {
  const all = [];
  for (const layer of report.layers) {
    if (layer.in_place && all.length > 0) all.at(-1).after.push(layer);
    else all.push({ ...layer, after: [] });
  }
  return all;
}

// rowOf is the row that a layer stands in.
export const rowOf = (report, name) => rows(report).find((r) => r.name === name || r.after.some((a) => a.name === name));

// ownModel says whether the network that is drawn is the model's that is asked, for the input that it takes.
export function ownModel() {
  const { report, model, source } = state;
  return Boolean(report && model && source && !source.build && source.network === model.name && sameShape(report.input, model.input));
}

const sameShape = (a, b) => a.c === b.c && a.h === b.h && a.w === b.w;

// groupOf is the group of the visit that computed a layer; undefined for one that only hands on.
export const groupOf = (name) => state.visit?.groups.find((s) => s.layers.includes(name));

// firstLayer is the one that reads the picture.
export const firstLayer = () => state.report?.layers[0]?.name;

// scores says whether a layer's numbers are the classes' scores: a vector, made last before the softmax or sigmoid.
export function scores(name) {
  const last = state.visit?.groups.at(-1);
  return Boolean(last?.layers.includes(name) && last.shape.h === 1 && last.shape.w === 1 && (last.shape.c === state.model.class_count || oneScore()));
}

// oneScore says whether the network has one output, by a sigmoid the probability of the second of two classes.
export const oneScore = () => state.model.ending === "sigmoid" && state.model.class_count === 2 && state.report?.layers.findLast((l) => l.kind !== "sigmoid")?.out.c === 1;
