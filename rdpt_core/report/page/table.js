// One row a question, every configuration's answer as a class-coloured bar with a tick or a cross.
// Only rows in view exist, so thousands stay fast.

const LINE = 30; // pixels of a row
const MARGIN = 6; // rows beyond the view
const BAR = 56;

function questionTable() {
  const count = h("p", { class: "caption", role: "status", id: "listed" });
  const head = h("tr", {}, ...["flips", "question", "gold"].map((title) => h("th", { scope: "col", class: `column-${title}` }, title)),
    ...configurationsWithTraces().map((c) => h("th", { scope: "col", title: bundle.configurations[c].name }, name(middle(bundle.configurations[c].name, 16)))));
  const body = h("tbody", {});
  const table = h("table", { role: "grid", class: "questions", "aria-label": "Questions and answers" }, h("thead", {}, head), body);
  const scroller = h("div", { class: "scroller" }, table);
  const view = { body, scroller, table, row: 0, column: 0, limit: 0 };
  scroller.addEventListener("scroll", () => drawRows(view));
  body.addEventListener("keydown", (event) => moveCell(view, event));
  const left = bundle.num_left_out ? `. ${counted(bundle.num_left_out, "further trace")} would make this file too large; every number counts them` : "";
  const redraw = () => {
    count.textContent = `${counted(listed.questions.length, "question")} of ${bundle.questions.length.toLocaleString("en")}; those where configurations differ first${left}`;
    view.row = clamp(view.row, 0, Math.max(listed.questions.length - 1, 0));
    drawRows(view, true);
  };
  for (const event of ["listed", "labels"]) on(event, redraw);
  on("trace", () => markOpen(view));
  new ResizeObserver(() => drawRows(view)).observe(scroller);
  addEventListener("beforeprint", () => ((view.limit = 300), drawRows(view, true)));
  addEventListener("afterprint", () => ((view.limit = 0), drawRows(view, true)));
  return [count, scroller];
}

function drawRows(view, isForced) {
  const total = listed.questions.length;
  const first = view.limit ? 0 : clamp(Math.floor(view.scroller.scrollTop / LINE) - MARGIN, 0, Math.max(total - 1, 0));
  const last = Math.min(total, view.limit || first + Math.ceil(view.scroller.clientHeight / LINE) + 2 * MARGIN);
  if (!isForced && first === view.first && last === view.last) return;
  Object.assign(view, { first, last });
  const isFocused = view.body.contains(document.activeElement);
  view.table.setAttribute("aria-rowcount", total + 1);
  const rows = [];
  for (let i = first; i < last; i++) rows.push(questionRow(view, i));
  view.body.replaceChildren(spacer(first * LINE), ...rows, spacer(view.limit ? 0 : (total - last) * LINE));
  markOpen(view);
  if (isFocused) activeCell(view)?.focus({ preventScroll: true });
}

function markOpen(view) {
  const open = String(columns.question[state.trace]);
  for (const row of view.body.rows) row.classList.toggle("open", row.dataset.question === open);
}

function spacer(height) {
  const row = h("tr", { "aria-hidden": "true", class: "spacer" }, h("td", { colspan: 3 + configurationsWithTraces().length }));
  row.firstChild.style.height = `${height}px`;
  return row;
}

function questionRow(view, i) {
  const index = listed.questions[i];
  const question = bundle.questions[index];
  const here = tracesOf(index);
  const cells = configurationsWithTraces().map((c) => here.filter((t) => columns.configuration[t] === c));
  const attributes = (column) => ({ tabindex: view.row === i && view.column === column ? 0 : -1, "data-row": i, "data-column": column });
  const title = button(name(short(question.prompt, 160) || question.problem_id), () => here.length && openFromTable(view, i, 0, here[0]), attributes(0));
  return h("tr", { "data-question": index, "aria-rowindex": i + 2 },
    h("td", { class: "column-flips" }, flip(index) > 0 ? h("span", { "aria-label": "differs" }, "\u2260") : ""),
    h("td", { class: "column-question" }, title),
    h("td", { class: "column-gold" }, name(question.gold ?? "")),
    ...cells.map((traces, k) => h("td", {}, answerButton(view, i, k + 1, traces, attributes(k + 1)))));
}

function openFromTable(view, row, column, trace) {
  Object.assign(view, { row, column });
  openTrace(trace);
  byId("trace-section").scrollIntoView({ block: "start" });
}

function answerButton(view, row, column, traces, attributes) {
  if (!traces.length) return button("\u2013", () => {}, { ...attributes, class: "answer", "aria-label": "no trace", "aria-disabled": "true" });
  const right = traces.filter(isCorrect).length;
  const mark = right === traces.length ? "\u2713" : right === 0 ? "\u2717" : `${right}/${traces.length}`;
  const counts = summed(traces);
  const words = `${configurationOf(traces[0]).name}: ${right} of ${traces.length} correct; ${usedClasses().map((label) => `${label} ${counts[label]}`).join(", ")}`;
  const open = () => openFromTable(view, row, column, traces[0]);
  return button([classBar(counts), h("span", { class: right ? "right" : "wrong" }, mark)], open, { ...attributes, class: "answer", "aria-label": words, title: words });
}

function summed(traces) {
  const total = {};
  for (const trace of traces) {
    for (const [key, value] of Object.entries(cachedCounts(trace))) total[key] = (total[key] || 0) + value;
  }
  return total;
}

function classBar(counts) {
  const svg = g("svg", { width: BAR, height: 12, "aria-hidden": "true" });
  let at = 0;
  for (const label of [...usedClasses(), "none"]) {
    const width = counts.total ? (BAR * counts[label]) / counts.total : 0;
    if (width) svg.append(g("rect", { x: round(at), y: 0.5, width: round(width), height: 11, class: `fill-${label} edged` }));
    at += width;
  }
  return svg;
}

const activeCell = (view) => view.body.querySelector(`[data-row="${view.row}"][data-column="${view.column}"]`);

// The keys of a grid; Enter is the button's own.
function moveCell(view, event) {
  const page = Math.max(1, Math.floor(view.scroller.clientHeight / LINE) - 2);
  const steps = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], PageDown: [page, 0], PageUp: [-page, 0], Home: [-1e9, 0], End: [1e9, 0] };
  const step = steps[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  view.row = clamp(view.row + step[0], 0, listed.questions.length - 1);
  view.column = clamp(view.column + step[1], 0, configurationsWithTraces().length);
  const top = view.row * LINE;
  const { scroller } = view;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  if (top + 2 * LINE > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + 2.5 * LINE - scroller.clientHeight;
  drawRows(view, true);
  activeCell(view)?.focus({ preventScroll: true });
}
