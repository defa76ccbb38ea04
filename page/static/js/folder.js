// A folder of the reader's own, as pictures to learn from: the folders in it are the classes. The pictures are made small and grey here, and
// nothing else of them is sent.

import { ownFault } from "./api.js";
import { el } from "./dom.js";

// readFolder makes grey pictures of offer.side by offer.side of the files of a folder, as the server takes them.
export async function readFolder(files, offer) {
  const all = files.map((file) => ({ file, way: file.webkitRelativePath.split("/") })).filter(({ way }) => !way.some((part) => part.startsWith(".")));
  const name = all[0]?.way[0] ?? files[0].webkitRelativePath.split("/")[0];
  const pictures = all.filter(({ way }) => way.length > 2).map(({ file, way }) => ({ file, label: way[1] })).filter(({ file }) => file.type.startsWith("image/"));
  if (pictures.length === 0) throw ownFault("train.folder");
  if (pictures.length > offer.most_pictures) throw ownFault("train.many");
  const side = offer.side;
  const canvas = el("canvas", { width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const read = []; // the label and the pixels of each that can be read
  for (const { file, label } of pictures) {
    try {
      const picture = await createImageBitmap(file);
      const least = Math.min(picture.width, picture.height); // the middle square
      context.drawImage(picture, (picture.width - least) / 2, (picture.height - least) / 2, least, least, 0, 0, side, side);
      picture.close();
      const { data } = context.getImageData(0, 0, side, side);
      read.push({ label, grey: Uint8Array.from({ length: side * side }, (_, i) => Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2])) });
    } catch {
      // it is left out and counted
    }
  }
  if (read.length === 0) throw ownFault("train.unreadable");
  const classes = [...new Set(read.map(({ label }) => label))].sort();
  const pixels = new Uint8Array(read.length * side * side);
  read.forEach(({ grey }, i) => pixels.set(grey, i * side * side));
  return { name, classes, labels: base64(Uint8Array.from(read, ({ label }) => classes.indexOf(label))), pixels: base64(pixels), n: read.length, left: pictures.length - read.length };
}

function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}
