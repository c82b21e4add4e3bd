// Position curves: a small plot for each class, correct solid and incorrect dashed, over n.

const SIDES = ["correct", "incorrect"];

function curvesPanel(parent) {
  const canvas = h("div", { class: "canvas", id: "curves-figure" });
  const chooser = h("span", { class: "chooser" });
  const title = h("figcaption", { class: "title" }, "Share by sentence position", chooser);
  const caption = h("p", { class: "caption", id: "curves-caption" });
  parent.append(h("figure", {}, title, canvas, caption));
  const redraw = figure(canvas, (width) => {
    caption.textContent = curvesCaption(curveShown());
    return curvesPlot(width);
  });
  const choose = () => {
    const options = curvesHere().map((curve) => [String(curve.configuration), bundle.configurations[curve.configuration].name]);
    const value = String(curveShown()?.configuration);
    const picked = select("of", options, value, (chosen) => {
      state.configuration = Number(chosen);
      redraw();
    });
    chooser.replaceChildren(...(options.length ? [picked] : []));
  };
  on("benchmark", () => {
    choose();
    redraw();
  });
  choose();
}

function curvesCaption(curve) {
  const pooled = curve && curve.width > 1 ? `; each point pools ${curve.width} positions` : "";
  return `solid: correct; dashed: incorrect; shaded: 95%, questions resampled; drawn from ${counted(bundle.min_traces, "trace")}${pooled}`;
}

const curvesHere = () => bundle.curves.filter((curve) => curve.benchmark === state.benchmark);

// Of the chosen configuration; of the best one until one is chosen.
function curveShown() {
  const here = curvesHere();
  const best = rowsOf(benchmarkName()).flatMap((row) => [row.shown, ...row.runs]);
  const order = [state.configuration, ...best.map((one) => bundle.configurations.indexOf(one))];
  for (const index of order) {
    const found = here.find((curve) => curve.configuration === index);
    if (found) return found;
  }
  return here[0];
}

function curvesPlot(width) {
  const curve = curveShown();
  const labels = CLASS_ORDER.filter((label) => curve && curve.share[label] && CODE[label] !== undefined);
  const drawn = labels.filter((label) => hasValues(curve.share[label]));
  if (!drawn.length) return h("p", { class: "caption" }, "No position has enough correct or incorrect traces for a curve.");
  const height = 196;
  const shown = curve.position.filter((_, i) => drawn.some((label) => SIDES.some((side) => isNumber(curve.share[label][side]?.[i]?.[0]))));
  const last = Math.max(...shown, 2);
  const panelWidth = (width - 30) / 2;
  const svg = g("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": curveWords(curve, drawn, last) });
  const high = Math.min(1, Math.max(0.1, ...drawn.flatMap((label) => SIDES.flatMap((side) => (curve.share[label][side] || []).flatMap((v) => (v.every(isNumber) ? [v[2]] : isNumber(v[0]) ? [v[0]] : []))))));
  drawn.forEach((label, i) => {
    const left = 30 + (i % 2) * panelWidth;
    const top = 14 + Math.floor(i / 2) * 70;
    const box = { x: scale(1, last, left + 4, left + panelWidth - 12), y: scale(0, high, top + 52, top), left, top, last, high };
    svg.append(...curveFrame(label, box, i % 2 === 0), ...SIDES.flatMap((side) => curveLine(curve, label, side, box)));
  });
  for (const i of [0, 1]) svg.append(...countLines(curve, 30 + i * panelWidth, panelWidth, last, i === 0));
  return svg;
}

const hasValues = (sides) => SIDES.some((side) => (sides[side] || []).some((value) => isNumber(value[0])));

function curveFrame(label, box, isFirst) {
  const right = box.x(box.last);
  const lines = ticks(0, box.high, 2).flatMap((tick) => [
    g("line", { x1: box.left + 4, x2: right, y1: box.y(tick), y2: box.y(tick), class: "grid" }),
    isFirst ? text(26, box.y(tick) + 4, percent(tick, 0), { "text-anchor": "end", class: "muted" }) : null,
  ]);
  const title = text(box.left + 4, box.top - 3, `${LETTERS[label]} ${TITLES[label]}`, { class: `strong line-${label}` });
  return [...lines.filter(Boolean), title];
}

// The band and the line of one side; broken where there are too few traces.
function curveLine(curve, label, side, box) {
  const runs = [];
  let run = [];
  curve.position.forEach((position, i) => {
    const value = curve.share[label][side]?.[i];
    if (value && isNumber(value[0]) && position <= box.last) run.push([box.x(position), ...value.map((v) => (isNumber(v) ? box.y(v) : null))]);
    else if (run.length) run = (runs.push(run), []);
  });
  if (run.length) runs.push(run);
  return runs.flatMap((points) => {
    const bounded = points.filter((point) => point[2] !== null && point[3] !== null);
    const edge = [...bounded.map((q) => `${q[0]},${q[2]}`), ...bounded.reverse().map((q) => `${q[0]},${q[3]}`)];
    const line = points.map((q) => `${q[0]},${q[1]}`).join(" ");
    const marks = points.length < 12 ? points.map((q) => g("circle", { cx: q[0], cy: q[1], r: 1.8, class: `curve-dot line-${label} ${side}` })) : [];
    return [
      g("polygon", { points: edge.join(" "), class: `band line-${label} ${side}` }),
      g("polyline", { points: line, class: `curve line-${label} ${side}` }),
      ...marks,
    ];
  });
}

function countLines(curve, left, width, last, isFirst) {
  const top = 152;
  const most = Math.max(1, ...SIDES.flatMap((side) => curve.num_traces[side]));
  const x = scale(1, last, left + 4, left + width - 12);
  const y = scale(0, most, top + 22, top);
  const lines = SIDES.map((side) => {
    const points = curve.position.map((p, i) => (p <= last ? `${x(p)},${y(curve.num_traces[side][i])}` : null)).filter(Boolean);
    return g("polyline", { points: points.join(" "), class: `count ${side}` });
  });
  const labels = isFirst ? [text(26, top + 7, String(most), { "text-anchor": "end", class: "muted" }), text(26, top + 25, "n", { "text-anchor": "end", class: "muted" })] : [];
  const marks = wholeTicks(1, last, 4);
  const base = g("line", { x1: left + 4, x2: x(last), y1: top + 22, y2: top + 22, class: "grid" });
  return [base, ...lines, ...labels, ...marks.map((tick) => text(x(tick), top + 36, String(tick), { "text-anchor": "middle", class: "muted" }))];
}

function curveWords(curve, labels, last) {
  const at = (label, side) => percent(curve.share[label][side]?.[0]?.[0], 0);
  const words = labels.map((label) => `${label} at position ${curve.position[0]}: ${at(label, "correct")}% correct, ${at(label, "incorrect")}% incorrect`);
  return `Shares by sentence position up to ${last}, ${bundle.configurations[curve.configuration].name}. ${words.join(". ")}`;
}
