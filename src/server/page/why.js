// why.js - why a product matched: a heat map over the photo, and each word's weight.

import { post, showPhoto } from "./api.js";
import { cosine, make, percent } from "./cards.js";

const by = (id) => document.getElementById(id);
const dialog = by("why");
let heat = null; // the last explanation, to be drawn again when sizes change
let running = null;

function rgb(name) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
}

// The patches' weights as a small image, one pixel a patch, which the canvas makes smooth.
function paintPatches(patches) {
  const rows = patches.length, columns = patches[0].length;
  const most = Math.max(1e-12, ...patches.flat().map(Math.abs));
  const small = make("canvas", { width: columns, height: rows });
  const context = small.getContext("2d");
  const image = context.createImageData(columns, rows);
  const colours = { for: rgb("--for"), against: rgb("--against") };
  patches.flat().forEach((weight, i) => {
    const share = Math.abs(weight) / most;
    image.data.set([...colours[weight > 0 ? "for" : "against"], Math.round(235 * share ** 0.8)], 4 * i);
  });
  context.putImageData(image, 0, 0);
  return small;
}

// The photo covers a part of the square that the patches cover; that part is drawn over it.
export function drawHeat() {
  const canvas = by("why-heat"), photo = by("why-photo");
  if (!heat || !photo.naturalWidth) {
    canvas.hidden = true;
    return;
  }
  const strength = by("why-strength").value / 100;
  photo.style.filter = `grayscale(${Math.min(1, 1.3 * strength)})`;
  const fit = Math.min(photo.clientWidth / photo.naturalWidth, photo.clientHeight / photo.naturalHeight);
  const width = photo.naturalWidth * fit, height = photo.naturalHeight * fit;
  const dense = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * dense), height: Math.round(height * dense), hidden: false });
  Object.assign(canvas.style, {
    width: `${width}px`, height: `${height}px`,
    left: `${photo.offsetLeft + (photo.clientWidth - width) / 2}px`,
    top: `${photo.offsetTop + (photo.clientHeight - height) / 2}px`,
    opacity: strength,
  });
  const context = canvas.getContext("2d");
  const [left, top, right, bottom] = heat.photo;
  const small = paintPatches(heat.patches);
  const rows = heat.patches.length, columns = heat.patches[0].length;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, left * columns, top * rows, (right - left) * columns, (bottom - top) * rows,
                    0, 0, canvas.width, canvas.height);
}

function showWords(words) {
  const most = Math.max(1e-12, ...words.map((word) => Math.abs(word.weight)));
  by("why-words").classList.remove("waiting");
  by("why-words").replaceChildren(...words.map(({ word, weight }) => {
    const shade = make("i", { className: weight > 0 ? "for" : "against" });
    shade.style.opacity = 0.55 * Math.abs(weight) / most;
    const number = `${weight > 0 ? "+" : "−"}${Math.abs(weight).toFixed(2)}`;
    return make("li", {}, shade, make("span", {}, word), make("small", {}, number));
  }));
}

function showScores(hit, probability) {
  const rows = [["vector, cosine", cosine(hit.score)],
                ["match", percent(probability ?? hit.rerank_score)],
                ["place by the vectors", String(hit.rank)]];
  by("why-scores").replaceChildren(...rows.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function showAttributes(attributes) {
  by("why-attributes").replaceChildren(...Object.entries(attributes).flatMap(([name, value]) =>
    [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, value)]));
}

function begin(hit, query) {
  heat = null;
  by("why-title").textContent = hit.title;
  by("why-words").replaceChildren();
  by("why-words").classList.add("waiting");
  by("why-method").textContent = "Asking the model…";
  by("why-words-of").textContent = query.text ? "Your words" : "The title's words";
  by("why-whose").textContent = query.text ? "" : "Your photo, beside the product's title";
  showScores(hit, null);
  showAttributes(hit.attributes);
  drawHeat();
}

// Words are explained with the product's photo; a photo alone with the product's title.
export async function explain(hit, query) {
  begin(hit, query);
  if (query.text) showPhoto(by("why-photo"), hit.product_id);
  else by("why-photo").src = query.url;
  by("why-photo").style.filter = "";
  by("why-photo").alt = query.text ? hit.title : "Your photo";
  if (!dialog.open) dialog.showModal();
  running?.abort();
  running = new AbortController();
  const signal = running.signal;
  try {
    const fields = query.text ? { text: query.text, product_id: hit.product_id }
                              : { text: hit.title, image: query.image };
    const answer = await post("/v1/explain", fields, signal);
    heat = answer;
    showScores(hit, answer.probability);
    showWords(answer.words);
    const method = answer.method[0].toUpperCase() + answer.method.slice(1);
    by("why-method").textContent = `${method}. ${Math.round(answer.took_ms.total)} ms.`;
    drawHeat();
  } catch (fault) {
    if (signal.aborted) return;
    by("why-words").classList.remove("waiting");
    by("why-method").textContent = `Not explained: ${fault.message}`;
  }
}

by("why-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => running?.abort());
by("why-strength").addEventListener("input", drawHeat);
by("why-photo").addEventListener("load", drawHeat);
window.addEventListener("resize", drawHeat);
