// Which questions the table lists: those with a trace that passes every filter at once.

const NO_FILTERS = { benchmark: "", configuration: "", outcome: "", label: "", least: 0, near: 0, words: "", against: null };
const filters = { ...NO_FILTERS };
const listed = { questions: [], hits: null };

const countsCache = new Map();
on("labels", () => countsCache.clear());

function cachedCounts(trace) {
  if (!countsCache.has(trace)) countsCache.set(trace, countsOf(trace));
  return countsCache.get(trace);
}

const configurationsWithTraces = (() => {
  let found = null;
  return () => (found ||= [...new Set(columns.configuration)].sort((a, b) => a - b));
})();

// Mean correctness of a question's traces, of some configurations; null without any.
function correctness(question, configurations) {
  const traces = tracesOf(question).filter((t) => configurations.includes(columns.configuration[t]));
  return traces.length ? traces.filter(isCorrect).length / traces.length : null;
}

// Configurations that are compared: arms if there are two or more, otherwise all.
const compared = (() => {
  let found = null;
  return () => {
    if (found) return found;
    const all = configurationsWithTraces();
    const arms = all.filter((c) => ["arm", "distilled"].includes(bundle.configurations[c].kind));
    return (found = arms.length > 1 ? arms : all);
  };
})();

// How far the compared configurations are apart on a question: 1 where one is right, another wrong.
const flip = (() => {
  let found = null;
  return (question) => (found ||= bundle.questions.map((_, q) => flipOf(q)))[question];
})();

function flipOf(question) {
  const values = compared().map((c) => correctness(question, [c])).filter((value) => value !== null);
  return values.length ? Math.max(...values) - Math.min(...values) : 0;
}

// Those of a name: itself, or the runs of the arm that it is the mean of.
function configurationsNamed(one) {
  const all = bundle.configurations;
  const index = all.findIndex((shown) => shown.name === one);
  if (index >= 0 && configurationsWithTraces().includes(index)) return [index];
  const isRun = (shown) => (index >= 0 ? sameArm(shown, all[index]) : shown.selector === one);
  return configurationsWithTraces().filter((c) => all[c].kind === "arm" && isRun(all[c]));
}

function passes(question) {
  const one = bundle.questions[question];
  if (filters.benchmark !== "" && one.benchmark !== Number(filters.benchmark)) return false;
  if (filters.outcome === "flips" && flip(question) === 0) return false;
  if (filters.against && !isChanged(question, filters.against)) return false;
  const isFound = !filters.words || isInQuestion(one);
  return tracesOf(question).some((trace) => tracePasses(trace, isFound));
}

function isChanged(question, { first, second, isGained }) {
  const [a, b] = [first, second].map((one) => correctness(question, configurationsNamed(one)));
  return a !== null && b !== null && (isGained ? a > b : a < b);
}

function isInQuestion(question) {
  const words = filters.words.toLowerCase();
  return [question.prompt, question.gold, question.problem_id, question.domain].some((field) => field && field.toLowerCase().includes(words));
}

function tracePasses(trace, isFound) {
  if (filters.configuration !== "" && columns.configuration[trace] !== Number(filters.configuration)) return false;
  if (filters.outcome !== "" && filters.outcome !== "flips" && outcomeOf(trace) !== filters.outcome) return false;
  if (!isFound && !(listed.hits && listed.hits.has(trace))) return false;
  if (filters.label === "" && !filters.near) return true;
  const counts = cachedCounts(trace);
  const share = (n) => (counts.total ? n / counts.total : 0);
  if (filters.near && share(counts.near) < filters.near / 100) return false;
  return filters.label === "" || (counts[filters.label] > 0 && share(counts[filters.label]) >= filters.least / 100);
}

// Traces whose text or answer holds the words.
async function search(words) {
  const wanted = words.toLowerCase();
  const hits = new Set();
  for (let trace = 0; trace < numTraces(); trace++) {
    const fields = `${bundle.trace_id[trace]}\n${bundle.extracted[trace] ?? ""}\n${await textOf(trace)}`;
    if (fields.toLowerCase().includes(wanted)) hits.add(trace);
  }
  return hits;
}

function applyFilters() {
  const order = bundle.questions.map((_, question) => question).filter(passes);
  listed.questions = order.sort((a, b) => flip(b) - flip(a) || a - b);
  tell("listed");
}

let typed = 0;
let typing = 0;

async function searchFor(words) {
  const mine = ++typed;
  const hits = words ? await search(words) : null;
  if (mine !== typed) return; // more was typed meanwhile
  filters.words = words;
  listed.hits = hits;
  applyFilters();
}

function filterBar() {
  const bar = h("div", { class: "controls filters", role: "search", "aria-label": "Filters of the questions" });
  const set = (key) => (value) => {
    filters[key] = value;
    applyFilters();
  };
  const outcomes = bundle.outcomes.filter((_, code) => columns.outcome.includes(code)).map((one) => [one, one]);
  const classes = usedClasses().map((label) => [label, label]);
  const draw = () => bar.replaceChildren(...[
    words(),
    select("benchmark", [["", "all"], ...bundle.benchmarks.map((one, i) => [String(i), one])], filters.benchmark, set("benchmark")),
    select("configuration", [["", "any"], ...configurationsWithTraces().map((c) => [String(c), bundle.configurations[c].name])], filters.configuration, set("configuration")),
    select("outcome", [["", "any"], ["flips", "differs between configurations"], ...outcomes], filters.outcome, set("outcome")),
    select("class", [["", "any"], ...classes], filters.label, set("label")),
    least("its share at least, %", "least", set), least("undetermined at least, %", "near", set),
    against(),
    button("Clear", () => resetFilters({})),
  ].filter(Boolean));
  on("filters", draw);
  draw();
  return bar;
}

function words() {
  const input = h("input", { type: "search", id: "search", "aria-label": "text", value: filters.words, placeholder: "problem, answer or trace" });
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => searchFor(input.value.trim()), 200);
  });
  return h("label", {}, h("span", {}, "text"), input);
}

function least(label, key, set) {
  const input = h("input", { type: "number", "aria-label": label, min: 0, max: 100, step: 5, value: filters[key] });
  input.addEventListener("input", () => set(key)(clamp(Number(input.value) || 0, 0, 100)));
  return h("label", {}, h("span", {}, label), input);
}

function against() {
  if (!filters.against) return null;
  const { first, second, isGained } = filters.against;
  return button(["only ", isGained ? "gained" : "lost", " by ", name(first), " over ", name(second), " \u2715"], () => {
    filters.against = null;
    applyFilters();
    tell("filters");
  }, { class: "chip" });
}

// No filter but those wanted; a search that is under way is dropped.
function resetFilters(wanted) {
  clearTimeout(typing);
  typed += 1;
  Object.assign(filters, NO_FILTERS, wanted);
  listed.hits = null;
  applyFilters();
  tell("filters");
}
