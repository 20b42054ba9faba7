// app.js - ask, show both orders, keep the question in the address.

import { get, post } from "./api.js";
import { fill, make, moveBetweenCards, wait } from "./cards.js";
import { explain } from "./why.js";

const STEP = 12; // cards that are shown, and shown more
const by = (id) => document.getElementById(id);
const query = { text: "", image: null, url: "" }; // what was asked
let shown = STEP;
let found = { retrieved: [], reranked: [] };
let running = null;

// ---- the question -------------------------------------------------------------------

function setPicture(file) {
  if (query.url) URL.revokeObjectURL(query.url);
  query.image = file;
  query.url = file ? URL.createObjectURL(file) : "";
  by("picture").hidden = by("unpicture").hidden = !file;
  if (file) by("picture").src = query.url;
  by("text").placeholder = file ? "Add words, if you like" : "Describe it, or drop a photo";
}

function filters() {
  const chosen = {};
  for (const select of document.querySelectorAll("#filters select"))
    if (select.value) chosen[select.name] = select.value;
  return chosen;
}

function markFilters() {
  const names = Object.keys(filters());
  for (const select of document.querySelectorAll("#filters select"))
    select.classList.toggle("on", !!select.value);
  by("chosen").textContent = names.length ? `${names.length}` : "";
}

function fields() {
  const all = { filter: filters() };
  if (query.text) all.text = query.text;
  if (query.image) all.image = query.image;
  return all;
}

// In the address, so that a search can be sent to others and gone back to.
function remember() {
  const words = new URLSearchParams();
  if (query.text) words.set("q", query.text);
  if (by("rerank").value !== "100") words.set("rerank", by("rerank").value);
  for (const [name, value] of Object.entries(filters())) words.set(`f.${name}`, value);
  const hash = words.toString() ? `#${words}` : location.pathname;
  if (hash !== location.hash) history.pushState(null, "", hash);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  by("text").value = words.get("q") || "";
  by("rerank").value = words.get("rerank") || "100";
  for (const select of document.querySelectorAll("#filters select"))
    select.value = words.get(`f.${select.name}`) || "";
  markFilters();
  return !!words.get("q");
}

// ---- the answer ---------------------------------------------------------------------

function say(text, wrong = false) {
  by("status").textContent = text;
  by("status").classList.toggle("wrong", wrong);
}

function showTook(took) {
  const stages = [["queue", "wait", took.queue], ["read", "read", took.tokenise + took.decode],
                  ["encode", "encode", took.encode], ["search", "search", took.search],
                  ["rerank", "re-rank", took.rerank]].filter(([, , ms]) => ms >= 0.05);
  by("stages").replaceChildren(...stages.map(([name, , ms]) => {
    const part = make("i", { className: `stage-${name}` });
    part.style.flexGrow = ms;
    return part;
  }));
  const format = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms)) + " ms";
  by("legend").replaceChildren(...stages.map(([name, label, ms]) =>
    make("li", {}, make("i", { className: `stage-${name}` }), `${label} `, make("b", {}, format(ms)))),
    make("li", {}, "all ", make("b", {}, format(took.total))));
  by("took").hidden = false;
}

function open(hit) {
  explain(hit, query);
}

function draw() {
  const grids = { retrieved: by("retrieved").querySelector(".grid"),
                  reranked: by("reranked").querySelector(".grid") };
  const twoOrders = Number(by("rerank").value) > 0;
  by("results").classList.toggle("one", !twoOrders);
  by("reranked").hidden = !twoOrders;
  if (found.retrieved.length) fill(grids.retrieved, found.retrieved.slice(0, shown), false, open);
  if (found.reranked.length) fill(grids.reranked, found.reranked.slice(0, shown), true, open);
  by("show-more").hidden = found.retrieved.length <= shown;
}

// First the vectors' order, which is there at once; then the model's, with both scores.
async function ask() {
  running?.abort();
  running = new AbortController();
  const signal = running.signal;
  const rerank = Number(by("rerank").value);
  const most = Math.max(rerank, 5 * STEP);
  found = { retrieved: [], reranked: [] };
  shown = STEP;
  document.body.classList.remove("fresh");
  by("results").hidden = false;
  by("ideas").hidden = true;
  for (const name of ["retrieved", "reranked"]) wait(by(name).querySelector(".grid"), 6);
  draw();
  say("Searching…");
  try {
    const first = await post("/v1/search", { ...fields(), k: most }, signal);
    found.retrieved = first.results;
    showTook(first.took_ms);
    draw();
    if (!first.results.length) return say("Nothing passes these filters.");
    const passed = first.compared.toLocaleString("en");
    say(rerank ? `${passed} products compared; re-ranking the best ${Math.min(rerank, first.results.length)}…`
               : `${passed} products compared.`);
    if (!rerank) return undefined;
    const second = await post("/v1/search", { ...fields(), k: rerank, rerank }, signal);
    const scores = new Map(second.results.map((hit) => [hit.product_id, hit.rerank_score]));
    for (const hit of found.retrieved) hit.rerank_score = scores.get(hit.product_id) ?? null;
    found.reranked = second.results;
    showTook(second.took_ms);
    draw();
    return say(`${passed} products compared, the best ${found.reranked.length} re-ranked.`);
  } catch (fault) {
    if (signal.aborted) return undefined;
    for (const grid of document.querySelectorAll(".grid.waiting")) grid.replaceChildren();
    const later = fault.retryAfter ? ` Try again in ${fault.retryAfter} s.` : "";
    return say(`${fault.message[0]?.toUpperCase()}${fault.message.slice(1)}.${later}`, true);
  }
}

function submit() {
  query.text = by("text").value.trim();
  if (!query.text && !query.image) {
    by("text").focus();
    return;
  }
  remember();
  ask();
}

// ---- what the index offers ----------------------------------------------------------

function addFilter({ name, values }) {
  if (values.length < 2) return;
  const select = make("select", { name }, make("option", { value: "" }, "any"),
    ...values.map(({ value, products }) => make("option", { value }, `${value} (${products})`)));
  select.addEventListener("change", () => {
    markFilters();
    if (query.text || query.image) submit();
  });
  by("filters").append(make("label", { className: "option" }, name.replaceAll("_", " "), select));
}

// "Blue Tshirts": the most frequent values, put together.
function ideas(attributes) {
  const values = (...names) => attributes.find(({ name }) => names.includes(name))?.values.map(({ value }) => value) || [];
  const colours = values("colour", "color", "colours", "baseColour");
  const kinds = values("category", "subcategory", "master_category");
  const texts = kinds.slice(0, 4).map((kind, i) => `${colours[i] ? `${colours[i]} ` : ""}${kind}`);
  by("ideas").replaceChildren(...texts.map((text) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      by("text").value = text;
      submit();
    });
    return button;
  }));
}

async function begin() {
  try {
    const index = await get("/v1/index");
    by("about").textContent = `${index.products.toLocaleString("en")} products · ${index.model} · ${index.kind}`;
    index.attributes.forEach(addFilter);
    ideas(index.attributes);
  } catch (fault) {
    say(`No search here: ${fault.message}.`, true);
  }
  if (recall()) submit();
}

// ---- what the page listens to -------------------------------------------------------

by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
by("choose").addEventListener("click", () => by("file").click());
by("file").addEventListener("change", () => {
  if (by("file").files[0]) take(by("file").files[0]);
  by("file").value = "";
});
by("unpicture").addEventListener("click", () => {
  setPicture(null);
  by("text").focus();
});
by("rerank").addEventListener("change", () => (query.text || query.image) && submit());
by("clear").addEventListener("click", () => {
  for (const select of document.querySelectorAll("#filters select")) select.value = "";
  markFilters();
  if (query.text || query.image) submit();
});
by("show-more").addEventListener("click", () => {
  shown += STEP;
  draw();
});
for (const name of ["retrieved", "reranked"]) {
  by(`tab-${name}`).addEventListener("click", () => {
    by("results").classList.remove("show-retrieved", "show-reranked");
    by("results").classList.add(`show-${name}`);
    for (const other of ["retrieved", "reranked"])
      by(`tab-${other}`).setAttribute("aria-pressed", String(other === name));
  });
}
by("results").classList.add("show-reranked");
document.addEventListener("keydown", (event) => {
  moveBetweenCards(event);
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName || "");
  if (event.key === "/" && !typing && !by("why").open) {
    event.preventDefault();
    by("text").focus();
  }
});
window.addEventListener("popstate", () => recall() && submit());

function take(file) {
  if (!/^image\/(jpeg|png|webp)$/.test(file.type)) {
    say("A JPEG, PNG or WebP image is wanted.", true);
    return;
  }
  if (by("text").value.trim() === query.text) by("text").value = ""; // asked already
  setPicture(file);
  submit();
}

let dragged = 0; // elements that the dragged file is over
document.addEventListener("dragenter", (event) => {
  if (event.dataTransfer?.types.includes("Files")) by("drop").hidden = ++dragged === 0;
});
document.addEventListener("dragleave", () => {
  dragged = Math.max(0, dragged - 1);
  if (!dragged) by("drop").hidden = true;
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragged = 0;
  by("drop").hidden = true;
  if (event.dataTransfer?.files[0]) take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files || [])].find((f) => f.type.startsWith("image/"));
  if (file) take(file);
});

begin();
