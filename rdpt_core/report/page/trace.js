// The open trace, its question beside it, and another configuration on the same question.

const panes = {};

function traceSection() {
  const section = byId("trace-section");
  const head = h("div", { class: "controls", id: "trace-controls" });
  heading(section, "trace-heading", "Trace", head);
  const [first, second] = ["a", "b"].map((prefix) => h("div", { class: "pane", id: `pane-${prefix}` }));
  const side = h("aside", { class: "side", "aria-label": "The question" });
  const beside = h("div", { class: "panes" }, first, second);
  section.append(legend(), whatIf(), h("div", { class: "trace-grid" }, beside, side));
  trainingDetails(section);
  panes.first = makePane(first, "a", chooseSentence);
  panes.second = makePane(second, "b", (sentence) => setSentence(panes.second, sentence));
  linkScroll(panes.first.text, panes.second.text);
  on("trace", () => showQuestion(head, side, second));
  on("sentence", () => setSentence(panes.first, state.sentence));
  on("labels", () => {
    recolour(panes.first);
    if (state.second !== null) recolour(panes.second);
    side.replaceChildren(...questionCard());
  });
}

function legend() {
  const classes = usedClasses().map((label) => h("span", { class: `s c-${label} m4` }, label));
  return h("p", { class: "legend" }, ...classes, h("span", { class: "s m0 near c-none" }, "undetermined"),
    h("span", { class: "muted" }, "paler: nearer to a threshold; on the strip, the band is the student's probability plus and minus beta"));
}

// Both scroll by the same share of their length.
function linkScroll(a, b) {
  let driven = null;
  const follow = (from, to) => () => {
    if (driven === from) return void (driven = null);
    const room = from.scrollHeight - from.clientHeight;
    if (room <= 0 || state.second === null) return;
    const next = Math.round((from.scrollTop / room) * (to.scrollHeight - to.clientHeight));
    if (Math.abs(to.scrollTop - next) < 2) return;
    driven = to;
    to.scrollTop = next;
  };
  a.addEventListener("scroll", follow(a, b));
  b.addEventListener("scroll", follow(b, a));
}

function showQuestion(head, side, second) {
  const other = secondTrace();
  second.hidden = other === null;
  byId("trace-section").classList.toggle("two", other !== null);
  head.replaceChildren(...traceControls());
  side.replaceChildren(...questionCard());
  showTrace(panes.first, state.trace, state.sentence);
  if (other !== null) showTrace(panes.second, other, firstShown(other));
}

// The trace of the configuration beside on this question, of the same sample if there is one.
function secondTrace() {
  if (state.second === null) return null;
  const same = tracesOf(columns.question[state.trace]).filter((t) => columns.configuration[t] === state.second);
  return same.find((t) => columns.sample[t] === columns.sample[state.trace]) ?? same[0] ?? null;
}

// Configurations to put beside `mine`: those that are compared first, then the others.
function besides(here, mine) {
  const others = [...new Set(here.map((t) => columns.configuration[t]))].filter((c) => c !== mine);
  return [...others.filter((c) => compared().includes(c)), ...others.filter((c) => !compared().includes(c))];
}

function traceControls() {
  const here = tracesOf(columns.question[state.trace]);
  const configurations = [...new Set(here.map((t) => columns.configuration[t]))];
  const mine = columns.configuration[state.trace];
  const named = configurations.map((c) => [String(c), bundle.configurations[c].name]);
  const others = besides(here, mine).map((c) => [String(c), bundle.configurations[c].name]);
  const samples = here.filter((t) => columns.configuration[t] === mine);
  const openFirstOf = (c) => openTrace(here.find((t) => columns.configuration[t] === Number(c)));
  return [
    select("of", named, String(mine), openFirstOf),
    samples.length > 1 ? select("sample", samples.map((t) => [String(t), String(columns.sample[t])]), String(state.trace), (t) => openTrace(Number(t))) : null,
    others.length ? select("beside", [["", "nothing"], ...others], String(state.second ?? ""), chooseSecond) : null,
    h("span", { class: "buttons" },
      button("Previous", () => stepTrace(-1), { "aria-keyshortcuts": "p" }),
      button("Next", () => stepTrace(1), { "aria-keyshortcuts": "n" })),
  ].filter(Boolean);
}

function chooseSecond(value) {
  state.second = value === "" ? null : Number(value);
  tell("trace");
  writeHash();
}

// The next trace of this configuration among the questions that the table lists.
function stepTrace(step) {
  const mine = columns.configuration[state.trace];
  const all = listed.questions.flatMap((q) => tracesOf(q).filter((t) => columns.configuration[t] === mine));
  const at = all.indexOf(state.trace);
  const next = at < 0 ? all[0] : all[clamp(at + step, 0, all.length - 1)];
  if (next !== undefined && next !== state.trace) openTrace(next);
}

function questionCard() {
  const question = questionOf(state.trace);
  const counts = countsOf(state.trace);
  const other = secondTrace();
  const rows = [
    ["gold", name(question.gold ?? "none")],
    ["answer", name(bundle.extracted[state.trace] ?? "none"), " ", outcomeMark(state.trace)],
    other === null ? null : ["beside", name(bundle.extracted[other] ?? "none"), " ", outcomeMark(other)],
    ["finish", name(bundle.finish[state.trace])],
    ["benchmark", name(bundle.benchmarks[question.benchmark])],
    question.domain ? ["domain", name(question.domain)] : null,
    ["question", name(question.problem_id)],
    ["trace", name(bundle.trace_id[state.trace])],
  ];
  const facts = h("dl", {}, ...rows.filter(Boolean).flatMap(([key, ...values]) => [h("dt", {}, key), h("dd", {}, ...values)]));
  return [
    h("div", {}, h("h3", {}, "Problem"), h("p", { class: "problem" }, question.prompt)),
    facts,
    h("div", {}, h("h3", {}, "Classes of the trace"), countsTable(counts)),
  ];
}

function countsTable(counts) {
  const shown = usedClasses().filter((label) => label !== "common" || counts[label]);
  const rows = shown.map((label) => [`${LETTERS[label]} ${TITLES[label]}`, counts[label], label]);
  if (counts.none) rows.push(["no score", counts.none, "none"]);
  rows.push(["undetermined", counts.near, "none"]);
  const bar = (n, label) => {
    const width = counts.total ? round((100 * n) / counts.total) : 0;
    return g("svg", { width: 100, height: 12, "aria-hidden": "true" }, g("rect", { x: 0.5, y: 0.5, width, height: 11, class: `fill-${label} edged` }));
  };
  return h("table", { class: "counts" }, h("tbody", {}, ...rows.map(([title, n, label]) =>
    h("tr", {}, h("th", { scope: "row" }, title), h("td", {}, bar(n, label)), h("td", { class: "number" }, String(n))))));
}
