// The first screen: the result in words, accuracies as dots, class shares as bars.

const LEAST_ROW = 22;
const MOST_ROW = 36;
const ROWS_HEIGHT = 120; // pixels that a few rows share
const LABEL_WIDTH = 112;
const LABEL_CHARACTERS = 15;

// One row for each arm (the mean of its runs, where there are several) or baseline with a text of
// its own; best first.
function rowsOf(benchmark) {
  const hasNumbers = (one) => ["accuracy", ...usedClasses().map(shareMetric)].some((metric) => numberOf(one, benchmark, metric));
  const shown = bundle.configurations.filter(hasNumbers);
  const isArm = (one) => one.kind === "arm" || one.kind === "mean" || one.kind === "distilled";
  const main = shown.some(isArm) ? shown.filter(isArm) : shown;
  const runsOf = (mean) => main.filter((one) => one.kind === "arm" && sameArm(one, mean));
  const means = main.filter((one) => one.kind === "mean");
  const rows = means.map((mean) => ({ shown: mean, runs: runsOf(mean) }));
  const covered = new Set(rows.flatMap((row) => row.runs));
  for (const one of main) {
    if (one.kind !== "mean" && !covered.has(one)) rows.push({ shown: one, runs: [] });
  }
  const value = (row) => numberOf(row.shown, benchmark, "accuracy")?.value ?? -1;
  return rows.sort((a, b) => value(b) - value(a));
}

const shareMetric = (label) => `provenance/share/${label}`;
const rowHeight = (rows) => clamp(Math.floor(ROWS_HEIGHT / Math.max(rows.length, 1)), LEAST_ROW, MOST_ROW);

function sameArm(a, b) {
  return a.selector === b.selector && a.teacher === b.teacher && a.student === b.student;
}

function referencesOf(benchmark, rows) {
  const drawn = new Set(rows.map((row) => row.shown));
  const isLine = (one) => (one.kind === "teacher" || one.kind === "student") && !drawn.has(one);
  return bundle.configurations
    .filter((one) => isLine(one) && numberOf(one, benchmark, "accuracy"))
    .map((one) => ({ shown: one, number: numberOf(one, benchmark, "accuracy") }));
}

function rowLabel(row, y, isBest) {
  const label = text(LABEL_WIDTH - 8, y + 4, middle(row.shown.name, LABEL_CHARACTERS), {
    "text-anchor": "end",
    class: isBest ? "strong" : null,
  });
  label.append(g("title", {}, row.shown.name));
  return label;
}

function accuracyPlot(width) {
  const benchmark = benchmarkName();
  const rows = rowsOf(benchmark).filter((row) => numberOf(row.shown, benchmark, "accuracy"));
  if (!rows.length) return h("p", { class: "caption" }, "No answer was graded here.");
  const each = rowHeight(rows);
  const lines = referencesOf(benchmark, rows);
  const numbers = rows.map((row) => numberOf(row.shown, benchmark, "accuracy"));
  const top = lines.length ? 12 + 13 * Math.min(lines.length, 2) : 8;
  const height = top + each * rows.length + 34;
  const ends = [...numbers, ...lines.map((line) => line.number)].flatMap((n) => [n.low ?? n.value, n.high ?? n.value]);
  const low = Math.max(0, Math.floor(Math.min(...ends, 1) * 20 - 0.5) / 20);
  const high = Math.min(1, Math.ceil(Math.max(...ends, 0) * 20 + 0.5) / 20);
  const right = width - 116;
  const x = scale(low, high, LABEL_WIDTH, right);
  const svg = g("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": accuracyWords(rows, lines, benchmark) });
  const bottom = height - 34;
  svg.append(...axis(x, low, high, bottom, top, right - LABEL_WIDTH, "accuracy, %"));
  lines.forEach((line, i) => svg.append(...referenceLine(line, x, i, top, bottom, right)));
  rows.forEach((row, i) => svg.append(...accuracyRow(row, numbers[i], x, top + each * (i + 0.5), i === 0, width, benchmark)));
  return svg;
}

function axis(x, low, high, bottom, top, span, title) {
  const drawn = ticks(low, high, span / 36).flatMap((tick) => [
    g("line", { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: "grid" }),
    text(x(tick), bottom + 14, percent(tick, 0), { "text-anchor": "middle", class: "muted" }),
  ]);
  const middleOf = (x(low) + x(high)) / 2;
  return [...drawn, text(middleOf, bottom + 29, title, { "text-anchor": "middle", class: "muted" })];
}

function referenceLine(line, x, i, top, bottom, right) {
  const at = x(line.number.value);
  const isRight = at > (LABEL_WIDTH + right) / 2;
  const words = `${line.shown.kind === "student" ? "undistilled student" : "teacher"} ${percent(line.number.value)}`;
  const label = text(isRight ? at + 2 : at - 2, 10 + 13 * (i % 2), words, {
    "text-anchor": isRight ? "end" : "start",
    class: `reference-label ${line.shown.kind}`,
  });
  label.append(g("title", {}, `${line.shown.name}: ${percent(line.number.value)} (${limits(line.number)})`));
  const mark = g("line", { x1: at, x2: at, y1: 13 + 13 * (i % 2), y2: bottom, class: `reference ${line.shown.kind}`, "data-value": line.number.value });
  return [mark, label];
}

function accuracyRow(row, number, x, y, isBest, width, benchmark) {
  const drawn = [rowLabel(row, y, isBest)];
  for (const run of row.runs) {
    const one = numberOf(run, benchmark, "accuracy");
    if (one) drawn.push(g("circle", { cx: x(one.value), cy: y, r: 2.5, class: "run" }));
  }
  if (isNumber(number.low)) drawn.push(g("line", { x1: x(number.low), x2: x(number.high), y1: y, y2: y, class: "whisker" }));
  const dot = g("circle", { cx: x(number.value), cy: y, r: isBest ? 5 : 4, class: "dot", "data-name": row.shown.name, "data-value": number.value });
  dot.append(g("title", {}, numberWords(row.shown.name, number)));
  const words = g("text", { x: width, y: y + 4, "text-anchor": "end", class: "figures" },
    g("tspan", { class: "strong" }, percent(number.value)),
    g("tspan", { class: "muted" }, isNumber(number.low) ? `  ${limits(number)}` : ""));
  return [...drawn, dot, words];
}

function numberWords(label, number) {
  const note = number.note ? `; ${number.note}` : "";
  return `${label}: ${percent(number.value)}% (95% interval ${limits(number) || "unknown"}; n = ${number.n}${note})`;
}

function accuracyWords(rows, lines, benchmark) {
  const words = rows.map((row) => numberWords(row.shown.name, numberOf(row.shown, benchmark, "accuracy")));
  return `Accuracy on ${benchmark}. ${[...words, ...lines.map((l) => numberWords(l.shown.name, l.number))].join(". ")}`;
}

function sharePlot(width) {
  const benchmark = benchmarkName();
  const labels = usedClasses().filter((label) => label !== "common");
  const share = (row, label) => numberOf(row.shown, benchmark, shareMetric(label));
  const rows = rowsOf(benchmark).filter((row) => labels.some((label) => share(row, label)));
  if (!rows.length) return h("p", { class: "caption" }, "No sentence has a class here.");
  const each = rowHeight(rows);
  const top = 24;
  const height = top + each * rows.length + 34;
  const svg = g("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": shareWords(rows, labels, benchmark) });
  const high = Math.max(0.05, ...rows.flatMap((row) => labels.map((label) => share(row, label)?.high ?? share(row, label)?.value ?? 0)));
  const column = (width - LABEL_WIDTH) / Math.max(labels.length, 1);
  rows.forEach((row, i) => svg.append(rowLabel(row, top + each * (i + 0.5), i === 0)));
  labels.forEach((label, j) => {
    const left = LABEL_WIDTH + j * column;
    const x = scale(0, high, left, left + column - 42);
    svg.append(text(left, 12, `${LETTERS[label]} ${TITLES[label]}`, { class: `strong line-${label}` }));
    for (const tick of ticks(0, high, 2)) svg.append(
      g("line", { x1: x(tick), x2: x(tick), y1: top, y2: height - 34, class: "grid" }),
      text(x(tick), height - 20, percent(tick, 0), { "text-anchor": "middle", class: "muted" }));
    rows.forEach((row, i) => svg.append(...shareBar(row, share(row, label), label, x, top + each * (i + 0.5))));
  });
  svg.append(text(LABEL_WIDTH + (width - LABEL_WIDTH) / 2, height - 5, "share of sentences, %", { "text-anchor": "middle", class: "muted" }));
  return svg;
}

function shareBar(row, number, label, x, y) {
  if (!number) return [];
  const bar = g("rect", { x: x(0), y: y - 7, width: Math.max(1, x(number.value) - x(0)), height: 14, class: `fill-${label} edged`, "data-name": row.shown.name, "data-class": label, "data-value": number.value });
  bar.append(g("title", {}, numberWords(`${row.shown.name}, ${label}`, number)));
  const end = x(Math.max(number.high ?? 0, number.value));
  const words = text(end + 4, y + 4, percent(number.value), { class: "figures" });
  if (!isNumber(number.low)) return [bar, words];
  return [bar, words, g("line", { x1: x(number.low), x2: x(number.high), y1: y, y2: y, class: "whisker thin" })];
}

function shareWords(rows, labels, benchmark) {
  const words = rows.map((row) => {
    const shares = labels.map((label) => `${label} ${percent(numberOf(row.shown, benchmark, shareMetric(label))?.value)}%`);
    return `${row.shown.name}: ${shares.join(", ")}`;
  });
  return `Shares of the classes on ${benchmark}. ${words.join(". ")}`;
}

function overview() {
  const section = byId("overview");
  const chosen = h("span", { class: "chooser" });
  const options = bundle.benchmarks.map((one, i) => [String(i), one]).filter(([i, one]) => rowsOf(one).length || bundle.curves.some((curve) => curve.benchmark === Number(i)));
  if (options.length > 1) {
    chosen.append(select("on", options, options[0][0], (value) => {
      state.benchmark = Number(value);
      tell("benchmark");
    }));
  }
  const figures = h("div", { class: "figures-row" });
  section.append(h("p", { class: "sentence", id: "result-sentence" }, bundle.sentence), figures);
  const redraws = [
    panel(figures, ["Accuracy", chosen], "dot: mean over questions; line: 95% interval; dashed: teacher and undistilled student", accuracyPlot, "accuracy-figure"),
    panel(figures, "Where sentences come from", "bar: share; line: 95% interval", sharePlot, "share-figure"),
  ];
  curvesPanel(figures);
  on("benchmark", () => redraws.forEach((redraw) => redraw()));
}

function panel(parent, title, caption, draw, id) {
  const canvas = h("div", { class: "canvas", id });
  parent.append(h("figure", {}, h("figcaption", { class: "title" }, ...[title].flat()), canvas, h("p", { class: "caption" }, caption)));
  return figure(canvas, draw);
}
