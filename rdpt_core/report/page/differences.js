// Every configuration against a baseline, on the same questions.

function differencesSection() {
  const section = byId("differences");
  const names = [...new Set(bundle.differences.flatMap((one) => [one.first, one.second]))];
  if (!names.length) {
    heading(section, "differences-heading", "Differences");
    section.append(h("p", { class: "caption" }, "There are no two configurations to compare."));
    return;
  }
  if (!names.includes(state.baseline)) state.baseline = names[0];
  const metrics = [...new Set(bundle.differences.map((one) => one.metric))];
  let metric = metrics.includes("accuracy") ? "accuracy" : metrics[0];
  const table = h("div", { class: "canvas" });
  const draw = () => table.replaceChildren(wide(differenceTable(metric)));
  const controls = h("div", { class: "controls" },
    select("against", names.map((one) => [one, one]), state.baseline, (value) => ((state.baseline = value), draw())),
    select("of", metrics.map((one) => [one, one === "accuracy" ? one : `share of ${one}`]), metric, (value) => ((metric = value), draw())));
  heading(section, "differences-heading", "Differences", controls);
  section.append(table, h("p", { class: "caption" }, "detectable: the smallest true difference, in points, that so many questions show with 80% power; gained and lost: a click lists the questions"));
  draw();
}

// Rows of one metric against the baseline, whichever way round they are stored.
function differencesAgainst(metric) {
  const rows = [];
  for (const one of bundle.differences) {
    if (one.metric !== metric) continue;
    const { value, low, high } = one.number;
    const minus = (x) => (isNumber(x) ? -x : null);
    if (one.second === state.baseline) rows.push({ ...one, other: one.first, value, low, high });
    else if (one.first === state.baseline) rows.push({ ...one, other: one.second, value: minus(value), low: minus(high), high: minus(low), gained: one.lost, lost: one.gained });
  }
  return rows;
}

function differenceTable(metric) {
  const rows = differencesAgainst(metric);
  const ends = rows.flatMap((row) => [row.low ?? row.value, row.high ?? row.value, 0]).filter(isNumber);
  const x = scale(Math.min(...ends, -0.01), Math.max(...ends, 0.01), 8, 232);
  const columnsOf = ["configuration", "benchmark", "difference, points", "95% interval", "", "gained", "lost", "n", "detectable", "note"];
  const head = h("tr", {}, ...columnsOf.map((title) => (title ? h("th", { scope: "col" }, title) : h("td", {}))));
  return h("table", { class: "plain differences" }, h("thead", {}, head), h("tbody", {}, ...rows.map((row) => differenceRow(row, x, metric))));
}

function differenceRow(row, x, metric) {
  const sign = (value) => (isNumber(value) ? `${value > 0 ? "+" : ""}${percent(value)}` : "-");
  const interval = isNumber(row.low) ? `${sign(row.low)} to ${sign(row.high)}` : "-";
  const changed = (n, isGained) => (n === null || n === undefined ? "" : metric === "accuracy" ? button(String(n), () => showChanged(row, isGained), { "aria-label": `${n} questions ${isGained ? "gained" : "lost"} by ${row.other}` }) : String(n));
  return h("tr", {},
    h("th", { scope: "row" }, name(row.other)), h("td", {}, name(bundle.benchmarks[row.benchmark])),
    h("td", { class: "number strong", "data-value": row.value }, sign(row.value)), h("td", { class: "number" }, interval),
    h("td", {}, differencePlot(row, x)),
    h("td", { class: "number" }, changed(row.gained, true)), h("td", { class: "number" }, changed(row.lost, false)),
    h("td", { class: "number" }, String(row.number.n)),
    h("td", { class: "number" }, isNumber(row.detectable) ? percent(row.detectable) : ""), h("td", { class: "muted note" }, row.number.note ?? ""));
}

function differencePlot(row, x) {
  const svg = g("svg", { width: 240, height: 20, "aria-hidden": "true" }, g("line", { x1: x(0), x2: x(0), y1: 0, y2: 20, class: "zero" }));
  if (isNumber(row.low)) svg.append(g("line", { x1: x(row.low), x2: x(row.high), y1: 10, y2: 10, class: "whisker" }));
  if (isNumber(row.value)) svg.append(g("circle", { cx: x(row.value), cy: 10, r: 4, class: "dot" }));
  return svg;
}

function showChanged(row, isGained) {
  resetFilters({ against: { first: row.other, second: state.baseline, isGained }, benchmark: String(row.benchmark) });
  byId("find").scrollIntoView({ block: "start" });
}
