// Elements, numbers and scales. Text of models and of users reaches the page only as text nodes.

const SVG = "http://www.w3.org/2000/svg";

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const h = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const g = (tag, attributes, ...children) => put(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
// Isolated, so that marks of direction in a name do not turn the text around it.
const name = (text) => h("bdi", {}, text);

function button(label, act, attributes) {
  const node = h("button", { type: "button", ...attributes }, label);
  node.addEventListener("click", act);
  return node;
}

function select(label, options, value, act) {
  const choices = options.map(([key, text]) => h("option", { value: key, selected: key === value }, text));
  const node = h("select", { "aria-label": label }, ...choices);
  node.addEventListener("change", () => act(node.value));
  return h("label", {}, h("span", { "aria-hidden": "true" }, label), node);
}

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const percent = (x, digits = 1) => (isNumber(x) ? (100 * x).toFixed(digits) : "-");
const probability = (x) => (isNumber(x) ? x.toFixed(3) : "-");
const limits = (n) => (isNumber(n.low) && isNumber(n.high) ? `${percent(n.low)} to ${percent(n.high)}` : "");
const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const round = (x) => Math.round(x * 100) / 100;

function short(text, length) {
  const one = text.replace(/\s+/g, " ").trim();
  return one.length > length ? `${one.slice(0, length - 1)}\u2026` : one;
}

// The middle is left out: names of configurations differ at their ends.
function middle(text, length) {
  if (text.length <= length) return text;
  const kept = Math.floor((length - 1) / 2);
  return `${text.slice(0, length - 1 - kept)}\u2026${text.slice(-kept)}`;
}

function scale(low, high, from, to) {
  const span = high - low || 1;
  return (x) => round(from + ((x - low) / span) * (to - from));
}

// Round numbers between low and high, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-6; k++) found.push(k * step);
  return found;
}

// The same of whole numbers.
function wholeTicks(low, high, count) {
  const steps = ticks(low, high, count);
  const step = steps.length > 1 ? Math.max(1, Math.round(steps[1] - steps[0])) : 1;
  const found = [];
  for (let k = Math.ceil(low / step) * step; k <= high; k += step) found.push(k);
  return found;
}

function text(x, y, content, attributes) {
  return g("text", { x: round(x), y: round(y), ...attributes }, content);
}

// A figure that is drawn again whenever its width changes.
function figure(parent, draw) {
  let width = 0;
  const redraw = () => {
    width = Math.floor(parent.clientWidth);
    if (width > 0) parent.replaceChildren(draw(width));
  };
  new ResizeObserver(() => {
    if (Math.floor(parent.clientWidth) !== width) redraw();
  }).observe(parent);
  redraw();
  return redraw;
}

function tableOf(caption, header, rows) {
  const head = header.map((title) => h("th", { scope: "col" }, title));
  return h("table", { class: "plain" }, h("caption", {}, caption), h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
}

// A table that scrolls by itself where the page is too narrow for it.
function wide(table) {
  return table && h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": table.caption ? table.caption.textContent : "table" }, table);
}

function heading(section, id, words, ...rest) {
  section.append(h("div", { class: "heading" }, h("h2", { id }, words), ...rest));
}
