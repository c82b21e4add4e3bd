// One trace: its strip, a fixed line about one sentence, and its text, linked both ways.

const WINDOW = 80; // sentences of the closer strip, where a trace is much longer
const CLOSER = 200;

function makePane(root, prefix, choose) {
  const pane = { root, prefix, trace: null, items: [], sentence: 0, opened: 0, choose };
  pane.strips = [h("div", { class: "strip-box", id: `${prefix}-strip` }), h("div", { class: "strip-box closer" })];
  pane.detail = makeDetail();
  pane.text = h("div", { class: "text", role: "listbox", tabindex: "0", "aria-label": "Sentences of the trace", id: `${prefix}-text` });
  pane.head = h("p", { class: "pane-head" });
  root.append(pane.head, ...pane.strips, pane.detail.root, pane.text);
  new ResizeObserver(() => root.clientWidth !== pane.width && drawStrips(pane)).observe(root);
  linkText(pane);
  return pane;
}

function outcomeMark(trace) {
  const outcome = outcomeOf(trace);
  const mark = { correct: "\u2713", wrong: "\u2717" }[outcome] ?? "\u2013";
  return h("span", { class: `outcome ${outcome === "correct" ? "right" : "wrong"}` }, `${mark} ${outcome}`);
}

async function showTrace(pane, trace, sentence) {
  const opened = ++pane.opened;
  Object.assign(pane, { trace, sentence, items: itemsOf(trace) });
  pane.head.replaceChildren(h("b", {}, name(configurationOf(trace).name)), " ", name(bundle.extracted[trace] ?? "no answer"), " ", outcomeMark(trace));
  drawStrips(pane);
  describe(pane, sentence);
  const parts = await traceParts(trace, pane.prefix);
  if (opened !== pane.opened) return; // another trace was opened meanwhile
  pane.text.replaceChildren(...parts);
  pane.text.classList.toggle("long", parts.length > 1);
  mark(pane);
  scrollTo(pane);
  pane.root.dataset.shown = bundle.trace_id[trace];
}

function linkText(pane) {
  const { text } = pane;
  const sentenceAt = (event) => {
    const span = event.target.closest("[role=option]");
    return span && text.contains(span) ? Number(span.dataset.i) - firstOf(pane.trace) : null;
  };
  text.addEventListener("pointerover", (event) => {
    const at = sentenceAt(event);
    hover(pane, at);
  });
  text.addEventListener("pointerleave", () => hover(pane, null));
  text.addEventListener("click", (event) => {
    const at = sentenceAt(event);
    if (at !== null && String(getSelection()) === "") pane.choose(at);
  });
  text.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    stepSentence(pane, step);
  });
}

// The next sentence that is no tag.
function stepSentence(pane, step) {
  const first = firstOf(pane.trace);
  const at = pane.items.indexOf(first + pane.sentence);
  const next = pane.items[clamp(at + step, 0, pane.items.length - 1)];
  if (next !== undefined) pane.choose(next - first);
}

function setSentence(pane, sentence) {
  pane.sentence = sentence;
  describe(pane, sentence);
  mark(pane);
  scrollTo(pane);
  if (pane.items.length > CLOSER) drawCloser(pane);
  pane.strips.forEach((box) => moveCursor(pane, box, "chosen", sentence));
}

function hover(pane, sentence) {
  describe(pane, sentence ?? pane.sentence);
  pane.text.querySelector(".hovered")?.classList.remove("hovered");
  if (sentence !== null) spanOf(pane, sentence)?.classList.add("hovered");
  pane.strips.forEach((box) => moveCursor(pane, box, "hovering", sentence));
}

const spanOf = (pane, sentence) => byId(`${pane.prefix}-${sentence}`);

function mark(pane) {
  for (const old of pane.text.querySelectorAll(".chosen")) {
    old.classList.remove("chosen");
    old.setAttribute("aria-selected", "false");
  }
  const span = spanOf(pane, pane.sentence);
  if (!span) return;
  span.classList.add("chosen");
  if (!span.classList.contains("tag")) {
    span.setAttribute("aria-selected", "true");
    pane.text.setAttribute("aria-activedescendant", span.id);
  }
}

// Within the text, never the page: opening a trace does not move what is read.
function scrollTo(pane) {
  const span = spanOf(pane, pane.sentence);
  if (!span) return;
  const [inner, outer] = [span.getBoundingClientRect(), pane.text.getBoundingClientRect()];
  if (inner.top >= outer.top + 8 && inner.bottom <= outer.bottom - 8) return;
  pane.text.scrollTop += inner.top - outer.top - outer.height / 4;
}

function drawStrips(pane) {
  pane.width = pane.root.clientWidth;
  if (pane.trace === null || !pane.width) return;
  stripInto(pane, pane.strips[0], pane.items);
  pane.strips[1].hidden = pane.items.length <= CLOSER;
  if (!pane.strips[1].hidden) drawCloser(pane);
}

function drawCloser(pane) {
  const at = Math.max(0, pane.items.indexOf(firstOf(pane.trace) + pane.sentence));
  const from = clamp(at - WINDOW / 2, 0, pane.items.length - WINDOW);
  stripInto(pane, pane.strips[1], pane.items.slice(from, from + WINDOW), from);
}

function stripInto(pane, box, items, from = 0) {
  const { svg, x } = drawStrip(pane.trace, items, pane.width, stripWords(pane, items, from));
  Object.assign(box, { items, x });
  const end = STRIP_HEIGHT + 16;
  for (const position of wholeTicks(from + 1, from + items.length, Math.min(12, pane.width / 60))) {
    svg.append(text(x(position - from - 0.5), end, String(position), { "text-anchor": "middle", class: "muted" }));
  }
  for (const kind of ["hovering", "chosen"]) svg.append(g("rect", { y: 2, height: STRIP_HEIGHT, class: `cursor ${kind}`, visibility: "hidden" }));
  box.replaceChildren(svg);
  linkStrip(pane, box, svg);
  moveCursor(pane, box, "chosen", pane.sentence);
}

function stripWords(pane, items, from) {
  const counts = countsOf(pane.trace);
  const shares = usedClasses().map((label) => `${counts[label]} ${label}`).join(", ");
  const part = items.length < pane.items.length ? `Sentences ${from + 1} to ${from + items.length}. ` : "";
  return `${part}Probabilities of ${counted(pane.items.length, "sentence")} by position: ${shares}`;
}

function linkStrip(pane, box, svg) {
  const sentenceAt = (event) => {
    const offset = event.clientX - svg.getBoundingClientRect().left - STRIP_LEFT;
    const k = Math.floor((offset / (pane.width - 2 - STRIP_LEFT)) * box.items.length);
    return box.items.length ? box.items[clamp(k, 0, box.items.length - 1)] - firstOf(pane.trace) : null;
  };
  svg.addEventListener("pointermove", (event) => hover(pane, sentenceAt(event)));
  svg.addEventListener("pointerleave", () => hover(pane, null));
  svg.addEventListener("click", (event) => sentenceAt(event) !== null && pane.choose(sentenceAt(event)));
}

function moveCursor(pane, box, kind, sentence) {
  const cursor = box.querySelector(`.cursor.${kind}`);
  if (!cursor) return;
  const k = sentence === null ? -1 : box.items.indexOf(firstOf(pane.trace) + sentence);
  cursor.setAttribute("visibility", k < 0 ? "hidden" : "visible");
  if (k < 0) return;
  const width = Math.max(2, box.x(k + 1) - box.x(k));
  cursor.setAttribute("x", box.x(k));
  cursor.setAttribute("width", width);
}

// Classes of all sentences again, after a threshold was moved.
function recolour(pane) {
  if (pane.trace === null) return;
  drawStrips(pane);
  for (const span of pane.text.querySelectorAll("[role=option]")) {
    const kept = span.classList.contains("chosen") ? " chosen" : "";
    span.className = classesOf(pane.trace, Number(span.dataset.i)) + kept;
  }
  describe(pane, pane.sentence);
}
