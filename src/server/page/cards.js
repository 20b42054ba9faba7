// cards.js - products as cards, in two grids of the same products in two orders.

import { showPhoto } from "./api.js";

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function cosine(score) {
  return score === null ? "–" : score.toFixed(3);
}

export function percent(probability) {
  if (probability === null) return "–";
  const p = 100 * probability;
  if (p > 99.95 && p < 100) return "> 99.9 %";
  if (p > 0 && p < 0.05) return "< 0.1 %";
  return `${p.toFixed(1)} %`;
}

function movement(hit, place) {
  const by = hit.rank - place;
  if (!by) return "";
  return make("span", { className: by > 0 ? "moved" : "moved down",
                        title: `by the vectors alone: ${hit.rank}` },
              `${by > 0 ? "↑" : "↓"}${Math.abs(by)}`);
}

function twins(id, on) {
  for (const other of document.querySelectorAll(".card"))
    other.classList.toggle("twin", on && other.dataset.id === id);
}

function card(hit, place, moved, open) {
  const image = make("img", { alt: "", loading: "lazy", decoding: "async" });
  showPhoto(image, hit.product_id);
  const where = make("span", { className: "place" }, String(place));
  if (moved) where.append(movement(hit, place));
  const scores = make("span", { className: "both" },
    make("span", { title: "Cosine of the two vectors" }, "vector ", make("b", {}, cosine(hit.score))),
    make("span", { title: "Probability of a match", className: hit.rerank_score === null ? "none" : "" },
         "match ", make("b", {}, percent(hit.rerank_score))));
  const button = make("button", { type: "button", className: "card" },
    make("span", { className: "shot" }, image), where,
    make("span", { className: "title" }, hit.title), scores);
  button.dataset.id = hit.product_id;
  button.addEventListener("click", () => open(hit, button));
  for (const [event, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]])
    button.addEventListener(event, () => twins(hit.product_id, on));
  return make("li", {}, button);
}

// moved: show how far each has moved from its place by the vectors.
export function fill(grid, hits, moved, open) {
  grid.classList.remove("waiting");
  grid.replaceChildren(...hits.map((hit, i) => card(hit, i + 1, moved, open)));
}

export function wait(grid, count) {
  grid.classList.add("waiting");
  grid.replaceChildren(...Array.from({ length: count }, () => make("li")));
}

// Arrow keys go from card to card, by what is seen.
export function moveBetweenCards(event) {
  const from = document.activeElement;
  if (!from?.classList.contains("card")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -2, ArrowDown: 2 }[event.key];
  if (!step) return;
  const all = [...from.closest(".grid").querySelectorAll(".card")];
  const columns = all.filter((c) => Math.abs(c.offsetTop - all[0].offsetTop) < 4).length || 1;
  const to = all[all.indexOf(from) + (Math.abs(step) === 2 ? Math.sign(step) * columns : step)];
  if (to) {
    event.preventDefault();
    to.focus();
  }
}
