// The server of a site without one: it unpacks the program and its weights, and hands it what the page asks. A file is packed as gzip
// under a name that says nothing of it, so that every file server sends it as it lies there and only this unpacks it.

import "./wasm_exec.js";

async function unpacked(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return new Response(answer.body.pipeThrough(new DecompressionStream("gzip")), { headers: { "Content-Type": "application/wasm" } });
}

// together puts the bytes of a file together, of which those at places 0, 4, 8, … come first, then those at 1, 5, 9, …
function together(apart) {
  const whole = new Uint8Array(apart.length);
  let next = 0;
  for (let first = 0; first < 4; first++) {
    for (let i = first; i < whole.length; i += 4) whole[i] = apart[next++];
  }
  return whole;
}

const bytesOf = async (name) => new Uint8Array(await (await unpacked(name)).arrayBuffer());

// training is what the program asks for when a network is to learn from the site's own pictures.
globalThis.training = () => Promise.all(["fashion-images.bin", "fashion-labels.bin"].map(bytesOf));

async function start() {
  const go = new Go();
  const [built, models] = await Promise.all([
    WebAssembly.instantiateStreaming(unpacked("program.bin"), go.importObject),
    fetch("models.json").then((answer) => answer.json()).then((list) => Promise.all(list.map(async ({ model, file, at }) =>
      [model, file, together(await bytesOf(at))]))),
  ]);
  const program = await new Promise((started) => {
    globalThis.started = started;
    go.run(built.instance).then(() => postMessage({ ended: true })); // it never returns by itself: it ran out of memory
  });
  await program.open(models);
  return { program, models };
}

const started = start();
started.catch(() => postMessage({ ended: true })); // another worker may find the network again
const waiting = new Map(); // requests that have come and are not begun, by their numbers

async function answer(id, { method, path, kind, body }) {
  waiting.delete(id);
  try {
    const { program } = await started;
    const [status, headers, text] = await program.answer(id, method, path, kind, body);
    postMessage({ id, status, headers, body: text }, [text.buffer]);
  } catch (error) {
    postMessage({ id, fault: error.message });
  }
}

async function open(id, { model, file, body }) {
  try {
    const { program, models } = await started;
    await program.open([[model, file, body], ...models]);
    postMessage({ id });
  } catch (error) {
    postMessage({ id, fault: error.message });
  }
}

onmessage = ({ data: { id, request, weights, cancel } }) => {
  if (request) {
    // What was asked and given up while the program was computing is not computed any more: its end is already in the queue.
    waiting.set(id, setTimeout(answer, 0, id, request));
  } else if (weights) {
    open(id, weights);
  } else {
    clearTimeout(waiting.get(cancel));
    waiting.delete(cancel);
    started.then(({ program }) => program.cancel(cancel));
  }
};
