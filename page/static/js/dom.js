// The few lines that make elements.

const spaces = { svg: "http://www.w3.org/2000/svg" };

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// el makes an HTML element: el("p", {class: "note"}, "text", other).
export const el = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);

// svg makes an SVG element.
export const svg = (tag, attributes, ...children) => make(document.createElementNS(spaces.svg, tag), attributes, children);

// loaded is the image at an address, once it can be drawn.
export async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

export const byID = (id) => document.getElementById(id);

// calm says whether the reader asked for less motion.
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

let landing = () => {};

// land brings an element into view and keeps it there while what lies above it still grows, until the reader does something.
export function land(element) {
  landing();
  const show = () => element.scrollIntoView({ behavior: "instant", block: "start" });
  const watch = new ResizeObserver(show);
  landing = () => watch.disconnect();
  watch.observe(document.querySelector("main"));
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(kind, landing, { once: true });
  setTimeout(landing, 4000);
  show();
}

// later calls do once things have been quiet for a while.
export function later(milliseconds, todo) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => todo(...args), milliseconds);
  };
}

// rove makes the arrow keys move among elements of which one is in the tab order.
export function rove(container, selector, choose) {
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...container.querySelectorAll(selector)];
    const at = all.indexOf(event.target.closest(selector));
    if (at < 0) return;
    let to = at;
    if (step) to = Math.min(Math.max(at + step, 0), all.length - 1);
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = all.length - 1;
    else return;
    event.preventDefault();
    for (const one of all) one.setAttribute("tabindex", "-1");
    all[to].setAttribute("tabindex", "0");
    all[to].focus();
    choose?.(all[to]);
  });
}
