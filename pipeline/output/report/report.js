// The rows of a run: found, sorted and shown a page at a time; their players, waveforms and spectrograms.
"use strict";
const about = JSON.parse(document.getElementById("about").textContent);
const byId = id => document.getElementById(id);
const MOST_AT_ONCE = 300_000;  // Rows that are loaded before a person asks for more.

// --- Data: scripts of the page, or beside it, hand it over.
const slots = {};
function slotOf(kind, index) {
  const slot = slots[`${kind} ${index}`] ??= {};
  slot.promise ??= new Promise((resolve, reject) => Object.assign(slot, {resolve, reject}));
  return slot;
}
function pageData(kind, index, value) { slotOf(kind, index).resolve(value); }
function load(kind, index) {
  const slot = slotOf(kind, index), {src} = about.data[kind][index];
  if (src && !slot.isAsked) {
    slot.isAsked = true;
    const script = make("script", {src});
    script.onerror = () => slot.reject(new Error(src));
    document.head.append(script);
  }
  return slot.promise;
}

// --- Rows: columns of one script after the other, never copied.
const chunks = [], chunkOf = new Uint16Array(about.num_rows);
let problem = "", wantedRows = MOST_AT_ONCE, matches = [], order = null, isDown = false, page = 0, shown = "", drawn = [];
about.data.rows.forEach(({first, count}, index) => chunkOf.fill(index, first, first + count));
function valueOf(number, name) {
  const chunk = chunks[chunkOf[number]];
  return chunk.columns[name]?.[number - chunk.first] ?? null;
}
const numLoaded = () => chunks.length ? chunks.at(-1).first + chunks.at(-1).count : 0;
async function loadRows() {
  try {
    while (chunks.length < about.data.rows.length && numLoaded() < wantedRows) {
      const {first, count} = about.data.rows[chunks.length];
      chunks.push({first, count, columns: await load("rows", chunks.length)});
      if (chunks.length === 1 || chunks.length % 8 === 0) find(true);
    }
  } catch (error) {
    problem = `Missing: ${error.message}. Copy the folder ${about.folder} to where it was beside this page, or write the page again with jobs.report.`;
  }
  find(true);
  showDoubtful();
}

// --- Finding
const SEARCHED = ["id", "text", "spoken", "heard", "message", "note", "speaker"];
function find(staysOnPage = false) {
  const wanted = byId("search").value.trim().toLowerCase(), doubt = Number(byId("doubt").value);
  const equal = ["speaker", "language"].map(name => [name, byId(name).value]).filter(([, value]) => value !== "");
  const [status, code] = byId("status").value.split("/");
  const found = [];
  for (const {first, count, columns} of chunks) {
    const texts = SEARCHED.map(name => columns[name]).filter(Boolean);
    for (let i = 0; i < count; i++) {
      if (status && columns.status[i] !== status || code && columns.code[i] !== code) continue;
      if (doubt && !(columns.flags[i] & doubt)) continue;
      if (!equal.every(([name, value]) => visible(columns[name]?.[i] || "–") === value)) continue;
      if (wanted && !texts.some(column => column[i]?.toLowerCase().includes(wanted))) continue;
      found.push(first + i);
    }
  }
  matches = sorted(found);
  if (!staysOnPage) page = 0;
  showPage();
}
function sorted(numbers) {
  if (!order) return numbers;
  const keys = new Array(about.num_rows), sign = isDown ? -1 : 1;
  for (const number of numbers) keys[number] = valueOf(number, order);
  return numbers.sort((a, b) => {
    const left = keys[a], right = keys[b];
    if (left === null || right === null) return (left === null) - (right === null) || a - b;
    return sign * (typeof left === "number" ? left - right : collate(left, right)) || a - b;
  });
}

// --- Showing
const decimals = (count, unit = "") => value => value === null ? "" : value.toFixed(count) + unit;
const hasAny = name => chunks.some(chunk => chunk.columns[name]);
const COLUMNS = [
  ["Id", "id"], ["Speaker", "speaker"], ["Language", "language"], ["Text", "text"], ["Status", "status"],
  ["Audio", "seconds", decimals(1, " s")], ["Rate", "rate", decimals(1)], ["Level", "level", decimals(1)],
  ["WER", "wer", decimals(2)],
];
function showRows(table, numbers, onSort) {
  const columns = COLUMNS.filter(([, name]) => ["id", "speaker", "text", "status"].includes(name) || hasAny(name));
  const heads = [...columns.map(([title, name]) => {
    const head = make("th", {scope: "col"}, onSort ? make("button", {type: "button", onclick: () => onSort(name)}, title) : title);
    if (onSort && order === name) head.ariaSort = isDown ? "descending" : "ascending";
    return head;
  }), make("th", {scope: "col"}, "Listen")];
  const body = make("tbody");
  for (const number of numbers) body.append(makeRow(number, columns));
  table.replaceChildren(make("thead", {}, make("tr", {}, ...heads)), body);
  labelCells(table);
}
function makeRow(number, columns) {
  const row = make("tr", {"data-number": number});
  for (const [, name, format = value => value ?? ""] of columns) {
    const value = valueOf(number, name), cell = row.insertCell();
    if (typeof value === "number") cell.dataset.value = value;
    if (name === "id") {
      cell.className = name;
      const button = make("button", {type: "button", className: "link", "aria-expanded": "false", title: "Waveform, spectrogram and all that is known"}, value ?? "(no id)");
      button.addEventListener("click", () => choose(row, number, button));
      cell.append(button);
    } else if (name === "status" && value === "rejected") {
      cell.append(make("span", {className: "bad"}, `rejected: ${valueOf(number, "code")}`));
    } else cell.append(visible(String(format(value))));
    const remark = name === "text" && (valueOf(number, "why") ?? valueOf(number, "message"));
    if (remark) cell.append(make("div", {className: "bad why"}, remark));
  }
  const listen = row.insertCell();
  if (valueOf(number, "status") === "ok") listen.append(makePlayer(clipOf(number)));
  return row;
}
function showPage() {
  const size = Number(byId("size").value), numPages = Math.max(1, Math.ceil(matches.length / size));
  page = Math.min(Math.max(page, 0), numPages - 1);
  const numbers = matches.slice(page * size, (page + 1) * size), wanted = [order, isDown, hasAny("language"), hasAny("wer"), ...numbers].join();
  if (shown !== wanted) {  // What is playing goes on while more rows are loaded.
    shown = wanted;
    showRows(byId("row-table"), numbers, sortBy);
  }
  const say = number => number.toLocaleString("en");
  const left = about.num_rows - numLoaded();
  byId("found").replaceChildren(`${say(matches.length)} of ${say(numLoaded())} rows. `);
  if (problem) byId("found").append(make("span", {className: "bad missing"}, problem));
  else if (left && numLoaded() < wantedRows) byId("found").append(`Loading ${say(left)} more …`);
  else if (left) byId("found").append(make("button", {type: "button", id: "more", onclick: loadMore}, `Load more: ${say(left)} rows are left`));
  Object.assign(byId("page"), {value: page + 1, max: numPages});
  byId("pages").textContent = `of ${say(numPages)}`;
  byId("previous").disabled = page === 0;
  byId("next").disabled = page === numPages - 1;
}
function loadMore() {
  wantedRows += MOST_AT_ONCE;
  return loadRows();
}
function sortBy(name) {
  isDown = order === name && !isDown;
  order = name;
  matches = sorted(matches);
  page = 0;
  showPage();
}
async function showDoubtful() {
  const table = byId("doubtful-table");
  if (!table || table.tBodies.length) return;
  const numbers = about.doubtful.filter(number => number < numLoaded());
  if (numbers.length === about.doubtful.length || chunks.length === about.data.rows.length || numLoaded() >= wantedRows) showRows(table, numbers);
  else if (problem) table.replaceWith(make("p", {className: "bad missing"}, problem));
}

// --- Players. A clip is in the page's data, or a file.
const scriptOf = {clips: new Map(), pictures: new Map()};
for (const kind in scriptOf) about.data[kind].forEach(({of}, index) => of.forEach(number => scriptOf[kind].set(number, index)));
async function readData(kind, number) {
  const index = scriptOf[kind].get(number);
  if (index === undefined) return null;
  return load(kind, index).then(values => values[number], () => null);
}
function linkOf(number) {
  const path = valueOf(number, "path");
  return path === null || about.base === null ? null : about.base + path.split("/").map(encodeURIComponent).join("/");
}
function placeOf(number) {
  const path = valueOf(number, "path");
  return path === null ? `metadata/${valueOf(number, "unit")}.parquet, row ${valueOf(number, "row")}` : path;
}
/** A row's clip: its key in the page's data, its link if it is a file, where it is, and what it is called. */
function clipOf(number) {
  return {key: number, link: linkOf(number), place: placeOf(number), name: `Clip of ${valueOf(number, "id")}`};
}
function replacedClipOf(number) {
  const place = `replaced/${valueOf(number, "before").unit}.parquet, row ${valueOf(number, "row")}`;
  return {key: -number - 1, link: null, place, name: `Take before, of ${valueOf(number, "id")}`};
}
function makePlayer({key, link, place, name}) {
  const holder = make("div");
  const addPlayer = (src, file = "") => {
    const audio = make("audio", {controls: true, preload: "none", "aria-label": name, "data-place": file});
    audio.src = src;
    holder.replaceChildren(audio);
    watchPlayer(audio);
  };
  if (scriptOf.clips.has(key)) readData("clips", key).then(data => data ? addPlayer(data) : link ? addPlayer(link, place) : sayWhere());
  else if (link) addPlayer(link, place);
  else sayWhere();
  function sayWhere() {
    const isLost = scriptOf.clips.has(key);
    holder.replaceChildren(make("span", {className: isLost ? "bad missing" : "soft"}, isLost
      ? `Missing: the folder ${about.folder} beside this page has this clip.`
      : `Not on this page: ${about.place}/${place}. jobs.report with a larger --clips puts it here.`));
  }
  return holder;
}

// --- The chosen row
const DETAILS = [
  ["Text", "text"], ["Spoken as", "spoken"], ["Heard", "heard"], ["Why doubtful", "why"], ["Rejected", "message"],
  ["Note", "note"], ["Speaker", "speaker"], ["Language", "language"], ["Audio", "seconds", decimals(2, " s")],
  ["Rate", "rate", decimals(1, " characters/s")], ["Level", "level", decimals(1, " dBFS RMS")],
  ["Peak", "peak", decimals(1, " dBFS")], ["Silence", "silence", decimals(2)], ["WER", "wer", decimals(2)],
  ["CER", "cer", decimals(2)], ["Likeness of the voice", "similarity", decimals(2)],
  ["Naturalness", "naturalness", decimals(2)], ["Take", "take", value => value + 1], ["Takes made", "takes"],
  ["Seed", "seed"], ["Shard", "shard"], ["Row", "row"], ["Made", "made", value => new Date(1000 * value).toISOString()],
];
const OF_TAKES = DETAILS.filter(([, name]) => ["seconds", "rate", "level", "peak", "wer", "cer", "similarity", "naturalness", "note", "take", "seed", "made"].includes(name));
function listFacts(valueOf, details) {
  const facts = make("dl");
  for (const [title, name, format = value => value] of details) {
    const value = valueOf(name);
    if (value !== null) facts.append(make("dt", {}, title), make("dd", {}, format(value)));
  }
  return facts;
}
function choose(row, number, button) {
  const former = row.parentNode.querySelector("tr.detail");
  const isOpen = former?.previousSibling === row;
  former?.previousSibling.querySelector("[aria-expanded]").setAttribute("aria-expanded", "false");
  former?.remove();
  if (isOpen) return;
  drawn = drawn.filter(({wave}) => wave.isConnected);
  button.setAttribute("aria-expanded", "true");
  const facts = listFacts(name => valueOf(number, name), DETAILS);
  const takes = make("div", {className: "takes"}), cell = make("td", {colSpan: row.cells.length}, takes, facts);
  if (valueOf(number, "status") === "ok") {
    facts.append(make("dt", {}, "Clip"), make("dd", {}, placeOf(number)));
    takes.append(showSound(clipOf(number), "This take"));
  }
  const before = valueOf(number, "before");
  if (before) {
    const clip = replacedClipOf(number), figure = showSound(clip, "The take before the redo");
    figure.append(makePlayer(clip), listFacts(name => before[name] ?? null, OF_TAKES));
    takes.firstChild?.append(makePlayer(clipOf(number)), listFacts(name => valueOf(number, name), OF_TAKES));
    takes.append(figure);
  }
  row.after(make("tr", {className: "detail"}, cell));
}
function showSound(clip, title) {
  const wave = make("canvas", {className: "wave", "aria-label": "Waveform", role: "img"});
  const spectrogram = make("canvas", {className: "spectrogram", "aria-label": "Spectrogram", role: "img"});
  const status = make("p", {className: "soft"}, "Drawing …"), figure = make("figure", {}, make("figcaption", {}, title), wave, spectrogram, status);
  findPicture(clip).then(picture => {
    drawn.push({wave, spectrogram, picture});
    draw(drawn.at(-1));
    status.textContent = picture.about;
  }, error => {
    wave.remove();
    spectrogram.remove();
    status.textContent = error.message;
  });
  return figure;
}
const decode = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
async function findPicture({key, link, place}) {
  const data = await readData("clips", key);
  if (data) return analyze(decode(data.split(",")[1]).buffer);
  const drawn = await readData("pictures", key);
  if (drawn) {
    const bytes = decode(drawn), [width, columns, rows] = about.picture;
    return {wave: bytes.subarray(0, width), levels: bytes.subarray(width), columns, rows, about: "Frequencies from 0 to half the sample rate, over 70 dB."};
  }
  if (link && location.protocol !== "file:") {
    const answer = await fetch(link).catch(() => null);
    if (answer?.ok) return analyze(await answer.arrayBuffer());
    throw new Error(`Missing: ${place}.`);
  }
  throw new Error(link
    ? "No waveform: a page that was opened from a disk may not read other files. Serve the folder (python -m http.server) and open the page from there, or write it with a larger --clips."
    : "No waveform: this clip is not on this page. jobs.report with a larger --clips puts it here.");
}

// --- Sound to picture: peaks, and levels over 70 dB of windows of 512 samples.
const WINDOW = 512;
async function analyze(bytes) {
  const rate = 16_000, context = new OfflineAudioContext(1, 1, rate);
  const samples = (await context.decodeAudioData(bytes)).getChannelData(0);
  const width = Math.max(50, Math.min(600, Math.floor(samples.length / 32))), columns = Math.max(1, Math.min(400, Math.floor(samples.length / 80))), rows = 128;
  const tops = new Float32Array(width), levels = new Float32Array(columns * rows);
  for (let i = 0; i < samples.length; i++) {
    const at = Math.floor(i * width / samples.length);
    tops[at] = Math.max(tops[at], Math.abs(samples[i]));
  }
  const real = new Float32Array(WINDOW), imaginary = new Float32Array(WINDOW), step = WINDOW / 2 / rows;
  for (let column = 0; column < columns; column++) {
    const start = Math.round(column * Math.max(0, samples.length - WINDOW) / Math.max(1, columns - 1));
    imaginary.fill(0);
    for (let i = 0; i < WINDOW; i++) real[i] = (samples[start + i] ?? 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / (WINDOW - 1)));
    transform(real, imaginary);
    for (let row = 0; row < rows; row++) {
      let power = 1e-12;
      for (let bin = row * step; bin < (row + 1) * step; bin++) power += real[bin] ** 2 + imaginary[bin] ** 2;
      levels[column * rows + row] = 10 * Math.log10(power);
    }
  }
  const highest = Math.max(1e-6, ...tops), loudest = levels.reduce((a, b) => Math.max(a, b), -30);
  const clamp = share => 255 * Math.min(1, Math.max(0, share));
  return {
    wave: Uint8Array.from(tops, top => clamp(top / highest)), levels: Uint8Array.from(levels, level => clamp(1 + (level - loudest) / 70)),
    columns, rows, about: `${(samples.length / rate).toFixed(2)} s, frequencies from 0 to 8 kHz, over 70 dB.`,
  };
}
/** Fourier transform in place; the length is a power of two. */
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let length = 2; length <= size; length *= 2) for (let k = 0; k < length / 2; k++) {
    const cos = Math.cos(2 * Math.PI * k / length), sin = -Math.sin(2 * Math.PI * k / length);
    for (let a = k; a < size; a += length) {
      const b = a + length / 2, x = real[b] * cos - imaginary[b] * sin, y = real[b] * sin + imaginary[b] * cos;
      real[b] = real[a] - x; imaginary[b] = imaginary[a] - y;
      real[a] += x; imaginary[a] += y;
    }
  }
}
function draw({wave, spectrogram, picture}) {
  const {wave: tops, levels, columns, rows} = picture;
  Object.assign(wave, {width: 2 * tops.length, height: 128});
  const pen = wave.getContext("2d");
  pen.fillStyle = getComputedStyle(wave).color;
  tops.forEach((top, at) => pen.fillRect(2 * at, 64 - top / 4, 1.5, Math.max(1, top / 2)));
  Object.assign(spectrogram, {width: columns, height: rows});
  const ink = getComputedStyle(spectrogram).color.match(/[\d.]+/g).map(Number);
  const context = spectrogram.getContext("2d"), image = context.createImageData(columns, rows);
  for (let column = 0; column < columns; column++) for (let row = 0; row < rows; row++) {
    image.data.set([...ink.slice(0, 3), levels[column * rows + row]], 4 * ((rows - 1 - row) * columns + column));
  }
  context.putImageData(image, 0, 0);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));

// --- Rejected rows as a file
async function saveRejected() {
  while (!problem && numLoaded() < about.num_rows) await loadMore();
  const names = ["id", "speaker", "language", "code", "message", "text", "shard", "row"], lines = [names.join()];
  // A cell that a spreadsheet would take for a formula begins with an apostrophe.
  const quote = value => `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  for (const {first, count, columns} of chunks) for (let i = 0; i < count; i++) {
    if (columns.status[i] === "rejected") lines.push(names.map(name => quote(columns[name]?.[i])).join());
  }
  const url = URL.createObjectURL(new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], {type: "text/csv"}));
  make("a", {href: url, download: "rejected.csv"}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  byId("saved").textContent = `${lines.length - 1} rows in rejected.csv. ${problem}`;
}

let timer = 0;
byId("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(find, 150);
});
for (const id of ["speaker", "status", "language", "doubt"]) byId(id).addEventListener("change", () => find());
byId("search").form.addEventListener("submit", event => event.preventDefault());
byId("search").form.addEventListener("reset", () => setTimeout(find));
byId("size").addEventListener("change", () => { page = 0; showPage(); });
byId("page").addEventListener("change", () => { page = Number(byId("page").value) - 1; showPage(); });
byId("previous").addEventListener("click", () => { page--; showPage(); });
byId("next").addEventListener("click", () => { page++; showPage(); });
function only(id, value) {
  byId("search").form.reset();
  byId(id).value = value;
  find();
  byId("rows").scrollIntoView();
}
byId("show-rejected")?.addEventListener("click", () => only("status", "rejected"));
byId("save-rejected")?.addEventListener("click", saveRejected);
byId("speaker-table").addEventListener("click", event => {
  const name = event.target.dataset?.speaker;
  if (name !== undefined) only("speaker", name || "–");
});
addEventListener("DOMContentLoaded", loadRows);
