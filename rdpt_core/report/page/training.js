// From a sentence of an answer back to the traces that its student was trained on, as `rdpt lineage`
// follows it: what is nearest in words is similarity, not cause.

const MOST_NEAREST = 10;
const MOST_LISTED = 200;
let training = null;

const trainingOf = (trace) => training.find((one) => one.configurations.includes(columns.configuration[trace]));

function trainingDetails(section) {
  const summary = h("summary", {}, "What the student of this trace was trained on");
  const body = h("div", { class: "training" });
  const details = h("details", { id: "training-of-trace" }, summary, body);
  const redraw = () => details.open && drawTraining(body);
  details.addEventListener("toggle", redraw);
  for (const event of ["trace", "sentence"]) on(event, redraw);
  section.append(details);
}

async function drawTraining(body) {
  training ??= JSON.parse(new TextDecoder().decode(await unpacked("training")));
  const mine = trainingOf(state.trace);
  if (!mine) {
    const words = `${configurationOf(state.trace).name} was not trained in this experiment.`;
    return body.replaceChildren(h("p", { class: "caption" }, words));
  }
  const read = await readerOf(state.trace);
  const sentence = firstOf(state.trace) + state.sentence;
  const asked = read(columns.start[sentence], columns.stop[sentence]).trim();
  body.replaceChildren(trainingWords(mine), nearestTable(mine, asked), trainingTable(mine));
}

function trainingWords(mine) {
  const total = Object.values(mine.num_sentences).reduce((sum, n) => sum + n, 0);
  const classes = CLASS_ORDER.filter((label) => mine.num_sentences[label]);
  const shares = classes.map((label) => `${percent(mine.num_sentences[label] / total)}% ${label}`).join(", ");
  const kept = mine.traces.length < mine.num_traces ? ` The best ${counted(mine.traces.length, "trace")} can be searched in this file.` : "";
  return h("p", {}, name(configurationOf(state.trace).name),
    ` was trained on ${counted(mine.num_traces, "trace")} of ${counted(mine.num_questions, "problem")}, selected from ${counted(mine.num_candidates, "candidate")}.`,
    total ? ` Of ${counted(total, "sentence")} in them: ${shares}.` : "", kept);
}

function nearestTable(mine, asked) {
  const grams = trigrams(asked);
  const found = mine.traces.flatMap((trace) => trace.sentences.map(([label, words]) => ({ trace, label, words, similarity: jaccard(grams, trigrams(words)) })));
  const nearest = found.filter((one) => one.similarity > 0).sort((a, b) => b.similarity - a.similarity).slice(0, MOST_NEAREST);
  if (!nearest.length) return h("p", { class: "caption" }, "No sentence that it was trained on shares three consecutive words with the chosen one.");
  const rows = nearest.map((one) => h("tr", {},
    h("td", { class: "number" }, one.similarity.toFixed(2)), h("td", {}, labelBadge(one.label)),
    h("td", {}, name(short(one.words, 200))), h("td", { class: "muted" }, name(short(one.trace.prompt, 80)))));
  const caption = "Sentences that it was trained on and that share most words with the chosen one (Jaccard index of three consecutive words): similarity, not cause";
  return wide(tableOf(caption, ["similarity", "class", "sentence", "problem"], rows));
}

function trainingTable(mine) {
  const listed = mine.traces.slice(0, MOST_LISTED);
  const rows = listed.map((one) => h("tr", {},
    h("td", { class: "number" }, String(one.rank)), h("td", {}, name(short(one.prompt, 120))),
    h("td", { class: "number" }, one.merit.toPrecision(3)), h("td", { class: "number" }, one.num_tokens.toLocaleString("en")),
    h("td", { class: "number" }, `${one.num_eligible} of ${one.num_candidates}`), h("td", {}, trainingBar(one))));
  const caption = `The selected traces, best first${listed.length < mine.num_traces ? `: ${listed.length} of ${mine.num_traces.toLocaleString("en")}` : ""}`;
  const table = wide(tableOf(caption, ["rank", "problem", "merit", "tokens", "eligible candidates", "classes"], rows));
  table.classList.add("tall");
  return table;
}

function trainingBar(one) {
  const counts = { total: one.sentences.length, none: 0 };
  for (const label of usedClasses()) counts[label] = 0;
  for (const [code] of one.sentences) {
    const label = code === NONE ? "none" : bundle.labels[code];
    counts[label] = (counts[label] ?? 0) + 1;
  }
  const words = Object.entries(counts).filter(([key, n]) => n && key !== "total").map(([label, n]) => `${n} ${label}`).join(", ");
  return h("span", { role: "img", "aria-label": words, title: words }, classBar(counts));
}

function labelBadge(code) {
  const label = code === NONE ? "none" : bundle.labels[code];
  return h("span", { class: `badge fill c-${label}`, "aria-label": label }, LETTERS[label] ?? "?");
}

// The macros of the catalogue (`views.py`): a word is a run of letters and digits, or another mark.
function trigrams(sentence) {
  const words = sentence.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
  const found = new Set();
  for (let i = 0; i < Math.max(words.length - 2, Math.min(words.length, 1)); i++) {
    found.add(`${words[i]} ${words[i + 1] ?? ""} ${words[i + 2] ?? ""}`);
  }
  return found;
}

function jaccard(one, other) {
  let both = 0;
  for (const gram of one) if (other.has(gram)) both++;
  return both ? both / (one.size + other.size - both) : 0;
}
