// Every figure of the page can be saved as a PNG, as it stands there: pictures, bars and words, without what works it. A figure is a
// <figure> element, whoever makes it; its button is made here.

import { ownFault, complain } from "./api.js";
import { byID, el, loaded } from "./dom.js";
import { t } from "./words.js";
import { when } from "./state.js";

const scale = 2; // pixels of the file for one of the page
const margin = 12; // around the figure, in pixels of the page
const tools = ".save, .row, label, fieldset, input, select, details, .hint";
const pictures = ":is(canvas, svg, img, .meter, .bar):not([hidden], [hidden] *)";

let held = ""; // the figure whose button had the focus last, by its name; it may be made anew

export function startSave() {
  document.addEventListener("focusin", ({ target }) => { held = target.matches(".save") ? named(target.parentElement) : ""; });
  new MutationObserver(offer).observe(document.body, { childList: true, subtree: true, attributeFilter: ["hidden"] });
  when("language", offer);
  offer();
}

// offer gives every figure its button, which is hidden while there is nothing in it.
function offer() {
  for (const figure of document.querySelectorAll("figure")) {
    let button = figure.querySelector(":scope > .save");
    const name = named(figure);
    if (!button) {
      button = el("button", { type: "button", class: "save", onclick: () => save(figure) });
      figure.append(button);
      if (held && held === name && document.activeElement === document.body) button.focus({ preventScroll: true });
    }
    const label = t("save.label", { name });
    const empty = !figure.querySelector(pictures);
    if (button.hidden === empty && button.getAttribute("aria-label") === label) continue; // what is set anew is noticed again
    button.textContent = t("save");
    button.setAttribute("aria-label", label);
    button.hidden = empty;
  }
}

// named is what a figure is called, by itself or by where it stands.
function named(figure) {
  const label = (node) => node?.getAttribute("aria-label");
  return label(figure) || figure.querySelector("h3, figcaption")?.textContent || label(figure.querySelector("[aria-label]:not(.save)")) || document.title;
}

async function save(figure) {
  try {
    const canvas = await drawn(figure);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const file = `vggo ${named(figure).slice(0, 80).replace(/[\\/:*?"<>|\s]+/g, " ")}.png`;
    const address = URL.createObjectURL(blob); // of null, where the picture is larger than the browser can make, it throws
    el("a", { href: address, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    byID("live").textContent = t("save.done", { file });
  } catch (error) {
    complain(ownFault("save"));
    throw error; // the page's own mistake belongs in the console too
  }
}

// drawn is a figure on a canvas of its own.
async function drawn(figure) {
  const { left, top, right } = figure.getBoundingClientRect();
  const parts = [...figure.childNodes].flatMap((node) => [...partsOf(node, 1)]);
  await Promise.all(parts.map(async (part) => { if (part.svg) part.image = await imageOf(part.svg, part.box); }));
  const far = Math.max(right, ...parts.map(({ box }) => box.right)); // of what is scrolled too
  const low = Math.max(top, ...parts.map(({ box }) => box.bottom));
  const canvas = el("canvas", { width: Math.round(scale * (far - left + 2 * margin)), height: Math.round(scale * (low - top + 2 * margin)) });
  const context = canvas.getContext("2d");
  context.fillStyle = paper(figure);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(scale, 0, 0, scale, scale * (margin - left), scale * (margin - top));
  for (const part of parts) {
    context.globalAlpha = part.alpha;
    put(context, part);
  }
  return canvas;
}

// paper is the colour that an element lies on.
function paper(node) {
  const colour = getComputedStyle(node).backgroundColor;
  return clear(colour) ? paper(node.parentElement) : colour;
}

const clear = (colour) => colour === "transparent" || colour === "rgba(0, 0, 0, 0)";

// partsOf are an element and what is in it, from back to front, each with its box on the page.
function* partsOf(node, alpha) {
  if (node instanceof Text) return yield* wordsOf(node, alpha);
  if (!(node instanceof Element) || node.matches(tools)) return;
  const style = getComputedStyle(node);
  if (style.display === "none" || style.visibility === "hidden") return;
  const box = node.getBoundingClientRect();
  const own = { box, alpha: alpha * style.opacity, style };
  if (node instanceof SVGElement) return yield { ...own, svg: node };
  if (box.width && box.height && node !== document.activeElement) yield own; // whose outline is the reader's place
  if (node instanceof HTMLCanvasElement || node instanceof HTMLImageElement) yield { ...own, image: node };
  for (const child of node.childNodes) yield* partsOf(child, own.alpha);
}

// wordsOf are the words of a text, and each character of scripts without spaces, where they stand.
function* wordsOf(text, alpha) {
  const style = getComputedStyle(text.parentElement);
  const range = document.createRange();
  const boxes = (from, part) => {
    range.setStart(text, from);
    range.setEnd(text, from + part.length);
    return range.getClientRects();
  };
  for (const { 0: word, index } of text.data.matchAll(/[\u2e80-\uffef]|[^\s\u2e80-\uffef]+/g)) {
    const [box, next] = boxes(index, word);
    if (box && !next) yield { box, alpha, style, word };
    if (next) for (let i = 0; i < word.length; i++) yield { box: boxes(index + i, word[i])[0], alpha, style, word: word[i] }; // broken over lines
  }
}

// put draws a part: a word, a picture, or an element's background, border and outline.
function put(context, { box, style, word, image }) {
  if (word) {
    context.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.fillStyle = style.color;
    context.fillText(word, box.left, box.top + context.measureText(word).fontBoundingBoxAscent);
  } else if (image) {
    context.imageSmoothingEnabled = style.imageRendering !== "pixelated";
    context.drawImage(image, box.left, box.top, box.width, box.height);
  } else {
    frame(context, box, style);
  }
}

function frame(context, box, style) {
  const path = (out) => {
    context.beginPath();
    context.roundRect(box.left - out, box.top - out, box.width + 2 * out, box.height + 2 * out, parseFloat(style.borderTopLeftRadius) || 0);
  };
  const ring = (width, colour, out) => {
    if (!width) return;
    path(out);
    Object.assign(context, { lineWidth: width, strokeStyle: colour });
    context.stroke();
  };
  const [, shade, spread] = /^(rgb.*?\)) 0px 0px 0px (\d+)px$/.exec(style.boxShadow) ?? [];
  if (shade) ring(Number(spread), shade, spread / 2);
  if (!clear(style.backgroundColor)) {
    path(0);
    context.fillStyle = style.backgroundColor;
    context.fill();
  }
  const outline = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
  ring(outline, style.outlineColor, parseFloat(style.outlineOffset) + outline / 2);
  const [up, side] = [style.borderTopWidth, style.borderLeftWidth].map(parseFloat);
  if (up && side) return ring(up, style.borderTopColor, -up / 2);
  const down = parseFloat(style.borderBottomWidth);
  context.fillStyle = style.borderBottomColor;
  if (down) context.fillRect(box.left, box.bottom - down, box.width, down);
}

// What a style sheet may have told a drawing; as an image it has none.
const told = ["fill", "fill-opacity", "fill-rule", "stroke", "stroke-opacity", "stroke-dasharray", "stroke-linejoin", "opacity", "display", "vector-effect", "image-rendering",
  "font-family", "font-size", "font-weight", "text-anchor"];

// imageOf makes an image of a drawing, at the size of the file.
async function imageOf(svg, box) {
  const copy = svg.cloneNode(true);
  const copies = [copy, ...copy.querySelectorAll("*")];
  for (const [i, node] of [svg, ...svg.querySelectorAll("*")].entries()) {
    const style = getComputedStyle(node);
    for (const name of told) copies[i].setAttribute(name, style.getPropertyValue(name));
    const thick = style.vectorEffect === "non-scaling-stroke" ? scale : 1;
    copies[i].setAttribute("stroke-width", thick * parseFloat(style.strokeWidth));
    if (style.rx !== "auto") copies[i].setAttribute("rx", style.rx);
    if (node.localName === "image") copies[i].setAttribute("href", await contentOf(node.href.baseVal));
  }
  copy.setAttribute("xmlns", svg.namespaceURI);
  copy.setAttribute("width", scale * box.width);
  copy.setAttribute("height", scale * box.height);
  return loaded(`data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`);
}

// contentOf is a picture of the page as an address that holds it.
async function contentOf(address) {
  const image = await loaded(address);
  const canvas = el("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL();
}
