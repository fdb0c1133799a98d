// Shared by all pages: tables that sort and filter, and players. Texts of others enter as text nodes, never as markup.
"use strict";
const collate = new Intl.Collator(undefined, {numeric: true}).compare;

/** Return a text in which characters that nobody sees are escapes, as `printable` in Python writes them. */
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;
function visible(text) {
  return text.replace(UNSEEN, letter => {
    const code = letter.charCodeAt(0), hex = code.toString(16);
    return code === 13 ? "\\r" : code < 256 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`;
  });
}

/** Return a new element; a property whose name has a dash is an attribute. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, visible(String(value)));
    else element[name] = value;
  }
  element.append(...children.map(child => child instanceof Node ? child : visible(String(child))));
  return element;
}

/** Name each cell after its column: a narrow screen shows rows as blocks. */
function labelCells(table) {
  const names = [...table.tHead.rows[0].cells].map(head => head.textContent);
  for (const row of table.tBodies[0].rows) for (const cell of row.cells) {
    if (cell.colSpan === 1) cell.dataset.label = names[cell.cellIndex];
  }
}

function showOrder(head, isDown) {
  for (const other of head.parentNode.cells) other.ariaSort = null;
  head.ariaSort = isDown ? "descending" : "ascending";
}

for (const table of document.querySelectorAll("table:not([data-rows])")) {
  const valueOf = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent;
  const compare = (a, b) => a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : collate(a, b);
  if (!table.tHead) continue;
  labelCells(table);
  for (const head of table.tHead.rows[0].cells) head.querySelector("button").addEventListener("click", () => {
    const body = table.tBodies[0], i = head.cellIndex, isDown = head.ariaSort === "ascending";
    showOrder(head, isDown);
    body.append(...[...body.rows].sort((a, b) => (isDown ? -1 : 1) * compare(valueOf(a, i), valueOf(b, i))));
  });
}
for (const box of document.querySelectorAll("[data-filter]")) box.addEventListener("input", () => {
  const rows = [...document.getElementById(box.dataset.filter).tBodies[0].rows], wanted = box.value.toLowerCase();
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  box.closest("p").querySelector("[role=status]").textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length}`;
});

// A player asks for its file at once, of very many once it is near; where there is none, words take its place.
const near = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) if (isIntersecting) {
    near.unobserve(target);
    target.preload = "metadata";
  }
}, {rootMargin: "1000px"});
function watchPlayer(audio, isOfMany = false) {
  if (isOfMany) near.observe(audio);
  else audio.preload = "metadata";
}
function replaceDead(audio) {
  const place = audio.dataset.place;
  audio.replaceWith(make("span", {className: "bad missing"}, place
    ? `Missing: ${place}. Copy it to where it was beside this page, or write the page again where the audio is.`
    : "This clip cannot be played; jobs.verify tells whether it is damaged."));
}
document.addEventListener("error", event => {
  if (event.target instanceof HTMLAudioElement) replaceDead(event.target);
}, true);
document.addEventListener("play", event => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);
const players = document.querySelectorAll("audio");
for (const audio of players) watchPlayer(audio, players.length > 100);
