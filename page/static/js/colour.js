// Values as colours.

// Nine of viridis' colours (CC0, https://bids.github.io/colormap/), the map of vggo explain: equal steps look equal.
const even = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
const diverging = [[33, 80, 170], [120, 165, 225], [245, 245, 245], [240, 150, 120], [178, 40, 50]];

// table spreads a few colours over 256.
function table(anchors) {
  const colours = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    for (let c = 0; c < 3; c++) colours[3 * i + c] = anchors[low][c] + (at - low) * (anchors[low + 1][c] - anchors[low][c]);
  }
  return colours;
}

const viridis = table(even);
const signed = table(diverging);

// paint puts shades from 0 to 255 into a canvas of their size. alpha(shade) says how much they cover.
function paint(canvas, width, height, shades, colours, alpha) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const s = shades[i];
    image.data.set(colours.subarray(3 * s, 3 * s + 3), 4 * i);
    image.data[4 * i + 3] = alpha ? alpha(s) : 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// paintShades shows bytes, dark for little and light for much.
export const paintShades = (canvas, width, height, shades) => paint(canvas, width, height, shades, viridis);

// paintGrey shows a square picture of bytes as it is.
export function paintGrey(canvas, side, bytes) {
  canvas.width = side;
  canvas.height = side;
  const image = new ImageData(side, side);
  bytes.forEach((v, i) => image.data.set([v, v, v, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// paintHeat shows a heat map from 0 to 1, see-through where it is cold.
export function paintHeat(canvas, width, height, values) {
  paint(canvas, width, height, values.map((v) => Math.round(255 * Math.min(Math.max(v, 0), 1))), viridis, (s) => s);
}

// paintMap shows a map's values between its least and its largest.
export function paintMap(canvas, width, height, values) {
  const [low, high] = range(values);
  const scale = high > low ? 255 / (high - low) : 0;
  paint(canvas, width, height, Uint8Array.from(values, (v) => Math.round((v - low) * scale)), viridis);
}

// paintSigned shows weights: blue below zero, red above, white at zero. most is what the full colour stands for.
export function paintSigned(canvas, width, height, values, most) {
  paint(canvas, width, height, Uint8Array.from(values, (v) => Math.round(127.5 + (127.5 * v) / (most || 1))), signed);
}

// paintRGB shows a filter of three channels, red or blue first, as the colours that it answers to most: grey is zero.
export function paintRGB(canvas, width, height, values, most, blueFirst) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const area = width * height;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + (blueFirst ? 2 - c : c)] = 127.5 + (127.5 * values[c * area + i]) / (most || 1);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// range is the least and the largest finite value.
export function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (v < low) low = v;
    if (v > high && v !== Infinity) high = v;
  }
  return low <= high ? [low, high] : [0, 0];
}

export const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
