// What each arm picked for training, beside the others.

const FEATURES = {
  tokens: ["tokens a trace", (x) => x.toFixed(1)],
  teacher_share: ["Teacher share, %", (x) => percent(x)],
  student_logprob: ["student log-probability a token", (x) => x.toFixed(3)],
};

function selectionSection() {
  const section = byId("selection");
  heading(section, "selection-heading", "Selection");
  if (!bundle.selection.length) {
    section.append(h("p", { class: "caption" }, "No traces were selected for training in this experiment."));
    return;
  }
  section.append(h("div", { class: "tables" }, ...[featureTable(), overlapTable(), domainTable()].map(wide)), ...bundle.selection.map(examples).filter(Boolean));
}

function featureTable() {
  const keys = [...new Set(bundle.selection.flatMap((picked) => Object.keys(picked.features)))].sort();
  const titles = keys.map((key) => (FEATURES[key] ? FEATURES[key][0] : key));
  const rows = bundle.selection.map((picked) => h("tr", {},
    h("th", { scope: "row" }, name(picked.arm)), h("td", { class: "number" }, picked.num_traces.toLocaleString("en")),
    ...keys.flatMap((key) => featureCells(key, picked.features[key]))));
  return tableOf("Means of what was picked, with 95% intervals", ["arm", "traces", ...titles.flatMap((title) => [title, "interval"])], rows);
}

function featureCells(key, number) {
  if (!number || !isNumber(number.value)) return [h("td", { class: "number" }, "-"), h("td", {})];
  const write = FEATURES[key] ? FEATURES[key][1] : (x) => x.toPrecision(4);
  const range = isNumber(number.low) ? `${write(number.low)} to ${write(number.high)}` : "";
  return [h("td", { class: "number strong", "data-value": number.value }, write(number.value)), h("td", { class: "muted range" }, range)];
}

function overlapTable() {
  const arms = bundle.selection.map((picked) => picked.arm);
  if (arms.length < 2) return null;
  const cell = (picked, arm) => h("td", { class: "number" }, arm === picked.arm ? "\u2013" : percent(picked.overlap[arm], 0));
  const rows = bundle.selection.map((picked) => h("tr", {}, h("th", { scope: "row" }, name(picked.arm)), ...arms.map((arm) => cell(picked, arm))));
  return tableOf("Overlap: % of the row's picks that the column picked too", ["arm", ...arms.map((arm) => name(arm))], rows);
}

function domainTable() {
  const domains = [...new Set(bundle.selection.flatMap((picked) => Object.keys(picked.domains)))].sort();
  if (domains.length < 2) return null;
  const rows = domains.map((domain) => h("tr", {}, h("th", { scope: "row" }, name(domain)),
    ...bundle.selection.map((picked) => h("td", { class: "number" }, domainBar(picked, domain)))));
  return tableOf("Picks by domain", ["domain", ...bundle.selection.map((picked) => name(picked.arm))], rows);
}

function domainBar(picked, domain) {
  const n = picked.domains[domain] ?? 0;
  const most = Math.max(1, ...bundle.selection.flatMap((one) => Object.values(one.domains)));
  return [g("svg", { width: 60, height: 10, "aria-hidden": "true" }, g("rect", { x: 0, y: 0, width: round((60 * n) / most), height: 10, class: "domain-bar" })), ` ${n}`];
}

function examples(picked) {
  if (!picked.examples.length) return null;
  const cell = (title, body, merit) => h("div", { class: "example" }, h("h3", {}, title, isNumber(merit) ? h("span", { class: "muted" }, ` merit ${merit.toPrecision(4)}`) : ""), h("p", { class: "problem" }, body ?? "none"));
  return h("details", {}, h("summary", {}, "Examples of ", name(picked.arm), ` (${picked.examples.length})`),
    ...picked.examples.map((one) => h("div", { class: "examples" },
      cell("Problem", one.prompt), cell("Picked", one.text, one.merit), cell("Runner-up", one.runner_up, one.runner_up_merit))));
}
