// "What if": other thresholds, for the eye. Numbers of the experiment stay as they are.

const MOST = 0.5;
const STEP = 0.005;

function whatIf() {
  const said = h("span", { class: "said", role: "status", id: "what-if-said" });
  const table = h("div", { id: "what-if-shares" });
  const sliders = ["beta", "alpha"].map((key) => slider(key, () => moved(sliders, said, table)));
  const reset = button("Reset", () => {
    sliders.forEach((one) => one.reset());
    moved(sliders, said, table);
  }, { id: "what-if-reset" });
  return h("details", { class: "what-if", id: "what-if" },
    h("summary", {}, "What if the thresholds were others? ", said),
    h("div", { class: "controls" }, ...sliders.map((one) => one.root), reset), table);
}

function slider(key, act) {
  const shipped = bundle.rule[key];
  const input = h("input", { type: "range", min: STEP, max: MOST, step: STEP, id: `what-if-${key}`, "aria-describedby": "what-if-said" });
  const shown = h("output", { for: `what-if-${key}` });
  const one = { key, value: shipped, root: h("label", {}, h("span", {}, key), input, shown) };
  const show = () => (shown.textContent = one.value.toFixed(3));
  input.value = shipped;
  const snapped = input.value; // the nearest step, which stands for the experiment's own value
  one.reset = () => {
    input.value = shipped;
    one.value = shipped;
    show();
  };
  input.addEventListener("input", () => {
    one.value = input.value === snapped ? shipped : Number(input.value);
    show();
    act();
  });
  show();
  return one;
}

function moved(sliders, said, table) {
  const [beta, alpha] = sliders.map((one) => one.value);
  const before = current.labels;
  relabel(alpha, beta);
  if (before === current.labels) return;
  said.textContent = isShipped() ? "" : `what if: beta ${beta.toFixed(3)}, alpha ${alpha.toFixed(3)}; not the labels of the experiment`;
  document.body.classList.toggle("is-what-if", !isShipped());
  table.replaceChildren(...(isShipped() ? [] : [sharesTable()]));
  tell("labels");
}

// Shares of all sentences of each configuration, at these thresholds and at the experiment's.
function sharesTable() {
  const labels = usedClasses();
  const [now, shipped] = [current.labels, columns.label].map(shareCounts);
  const rows = bundle.configurations.map((one, c) => [one, now[c], shipped[c]]).filter(([, counts]) => counts.total);
  const cell = (label, counts, old) => h("td", { class: "number" }, percent(counts[label] / counts.total), h("span", { class: "muted" }, ` was ${percent(old[label] / old.total)}`));
  const body = rows.map(([one, counts, old]) => h("tr", {}, h("th", { scope: "row" }, name(one.name)), ...labels.map((label) => cell(label, counts, old))));
  return tableOf("What if: shares of all labelled sentences", ["configuration", ...labels.map((label) => `${TITLES[label]}, %`)], body);
}

function shareCounts(labels) {
  const counts = bundle.configurations.map(() => Object.fromEntries([["total", 0], ...bundle.labels.map((label) => [label, 0])]));
  for (let trace = 0; trace < numTraces(); trace++) {
    const mine = counts[columns.configuration[trace]];
    for (let i = firstOf(trace); i < firstOf(trace + 1); i++) {
      if (isTag(i) || labels[i] === NONE) continue;
      mine[bundle.labels[labels[i]]] += 1;
      mine.total += 1;
    }
  }
  return counts;
}
