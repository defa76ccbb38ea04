// The picture of this tab, kept by the browser until the tab is closed or a day is over: so reloading the page does not lose it.

const day = 24 * 60 * 60 * 1000;

function tab() {
  let id = sessionStorage.getItem("tab");
  if (!id) {
    id = String(Math.random()).slice(2) + Date.now();
    sessionStorage.setItem("tab", id);
  }
  return id;
}

const done = (request) => new Promise((yes, no) => {
  request.onsuccess = () => yes(request.result);
  request.onerror = () => no(request.error);
});

async function store(mode) {
  const opening = indexedDB.open("vggo", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("pictures");
  return (await done(opening)).transaction("pictures", mode).objectStore("pictures");
}

// keep keeps a picture in place of this tab's last. A browser that keeps nothing is no fault.
export async function keep(file, example) {
  try {
    const bytes = await file.arrayBuffer();
    await done((await store("readwrite")).put({ bytes, type: file.type, example, at: Date.now() }, tab()));
  } catch {
    // private windows, a full disk
  }
}

// recall is this tab's picture, {file, example}, or null. What other tabs left behind goes after a day.
export async function recall() {
  try {
    const pictures = await store("readwrite");
    const [keys, all] = await Promise.all([done(pictures.getAllKeys()), done(pictures.getAll())]);
    keys.forEach((key, i) => { if (all[i].at < Date.now() - day) pictures.delete(key); });
    const mine = all[keys.indexOf(tab())];
    return mine ? { file: new Blob([mine.bytes], { type: mine.type }), example: mine.example } : null;
  } catch {
    return null;
  }
}
