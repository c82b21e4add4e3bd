// What is open, and who wants to know when it changes.

const state = {
  trace: 0,
  sentence: 0, // in its trace, as in the columns: tags count
  second: null, // index of the configuration beside it
  benchmark: 0,
  configuration: null, // whose curves are drawn
  baseline: bundle.baseline,
};
const listeners = {};

function on(event, act) {
  (listeners[event] ||= []).push(act);
}

function tell(event) {
  for (const act of listeners[event] || []) act();
}

const benchmarkName = () => bundle.benchmarks[state.benchmark];

function openTrace(trace, sentence, isQuiet) {
  state.trace = clamp(trace, 0, numTraces() - 1);
  state.sentence = sentence ?? firstShown(state.trace);
  tell("trace");
  if (!isQuiet) writeHash();
}

// Position of the first sentence that is no tag.
function firstShown(trace) {
  for (let i = firstOf(trace); i < firstOf(trace + 1); i++) if (!isTag(i)) return i - firstOf(trace);
  return 0;
}

function chooseSentence(sentence) {
  if (sentence === state.sentence) return;
  state.sentence = sentence;
  tell("sentence");
  writeHash();
}

let hashTimer = 0;

// A moment later: browsers allow a page few such changes a second, and j may be held down.
function writeHash() {
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => history.replaceState(null, "", hash()), 150);
}

function hash() {
  const id = bundle.trace_id[state.trace];
  const parts = [["trace", id], ["s", state.sentence]];
  if (traceOf(id) !== state.trace) parts.push(["in", configurationOf(state.trace).name]);
  if (state.second !== null) parts.push(["with", bundle.configurations[state.second].name]);
  return `#${parts.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&")}`;
}

// Opens what the address names; false if it names no trace of this report.
function readHash() {
  const found = new URLSearchParams(location.hash.slice(1));
  if (!found.has("trace")) return false;
  const trace = traceOf(found.get("trace"), found.get("in"));
  if (trace === undefined) return false;
  const second = bundle.configurations.findIndex((one) => one.name === found.get("with"));
  state.second = second < 0 ? null : second;
  const last = columns.num_sentences[trace] - 1;
  const wanted = found.has("s") ? parseInt(found.get("s"), 10) : NaN;
  openTrace(trace, Number.isNaN(wanted) ? undefined : clamp(wanted, 0, Math.max(last, 0)), true);
  return true;
}

// The most telling sentence of the report, or the first trace with sentences.
function openFirst() {
  const lists = ["teacher", "boosted", "near"].map((key) => bundle.telling[key] || []);
  const best = lists.flat()[0];
  if (best) openTrace(best.trace, best.position, true);
  else openTrace(Math.max(columns.num_sentences.findIndex((n) => n > 0), 0), undefined, true);
}
