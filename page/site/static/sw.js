// The site without a network. "files", each with the SHA-256 of its content, stands before these lines. A file is kept under its content's
// sum, so a new version fetches what has changed alone, and no file of one version is taken for another's.

const scope = registration.scope;
const store = `vggo ${scope}`;
const kept = (path) => new URL(`${path}?${files[path]}`, scope).href;

async function fetched(path) {
  const answer = await fetch(new URL(path, scope), { cache: "no-cache" });
  const content = await answer.arrayBuffer();
  const sum = [...new Uint8Array(await crypto.subtle.digest("SHA-256", content))].map((b) => b.toString(16).padStart(2, "0")).join("");
  if (sum !== files[path]) throw new Error(`${path} is not of this version: ${answer.status} ${sum}`);
  return new Response(content, { headers: { "Content-Type": answer.headers.get("Content-Type") } }); // without where it was redirected from
}

async function install() {
  const cache = await caches.open(store);
  await Promise.all(Object.keys(files).map(async (path) => {
    if (!(await cache.match(kept(path)))) await cache.put(kept(path), await fetched(path));
  }));
  await skipWaiting(); // an old or broken version before this one is over
}

async function activate() {
  await clients.claim();
  const cache = await caches.open(store);
  const now = new Set(Object.keys(files).map(kept));
  for (const request of await cache.keys()) if (!now.has(request.url)) await cache.delete(request);
}

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));

addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  const address = origin + pathname;
  if (event.request.method !== "GET" || !address.startsWith(scope)) return;
  let path = address.slice(scope.length);
  if (path === "" || path === "index.html") path = "./";
  if (!Object.hasOwn(files, path)) return;
  event.respondWith(caches.open(store).then((cache) => cache.match(kept(path))).then((found) => found ?? fetch(event.request)));
});
