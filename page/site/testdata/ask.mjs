// Asks worker.js of a site, in node in place of a browser: ask.mjs FOLDER PICTURE... writes for each picture a line of JSON.

import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...pictures] = process.argv.slice(2);
const page = join(folder, "page");
const waiting = new Map();
globalThis.fetch = async (name) => new Response(readFileSync(join(page, name)));
globalThis.postMessage = (answer) => waiting.get(answer.id)(answer);
globalThis.onmessage = null;
await import(pathToFileURL(join(page, "worker.js")));

let id = 0;
async function ask(method, path, body = null) {
  const answer = await new Promise((answered) => {
    waiting.set(++id, answered);
    globalThis.onmessage({ data: { id, request: { method, path, kind: "application/octet-stream", body } } });
  });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.fault ?? new TextDecoder().decode(answer.body)}`);
  return answer.body;
}

for (const picture of pictures) {
  const told = JSON.parse(new TextDecoder().decode(await ask("POST", "/v1/inside", new Uint8Array(readFileSync(picture)))));
  const layer = told.groups.at(-1).layers.at(-1);
  const npy = Buffer.from(await ask("GET", `/v1/inside/${told.id}/map?layer=${layer}`));
  console.log(JSON.stringify({ picture: basename(picture), logits: npy.toString("hex"), classes: told.classes }));
}
process.exit(0); // the program waits for more
