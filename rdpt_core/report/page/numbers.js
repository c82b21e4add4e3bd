// Where the numbers come from: models, thresholds, seeds, noise, machine.

function numbersSection() {
  const section = byId("numbers");
  heading(section, "numbers-heading", "Provenance of the numbers");
  const tables = Object.entries(bundle.numbers).filter(([, rows]) => rows.length).map(([title, rows]) => wide(numbersTable(title, rows)));
  section.append(h("div", { class: "tables" }, ...tables), allResults());
}

function numbersTable(title, rows) {
  const [header, ...body] = rows;
  const line = ([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, name(first)), ...rest.map((cell) => h("td", {}, name(cell))));
  return tableOf(title, header.map(name), body.filter((row) => row.length).map(line));
}

// Every row of `results`, as stored.
function allResults() {
  const body = h("tbody", {});
  const details = h("details", { id: "all-results" }, h("summary", {}, "All results, as stored"),
    wide(h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ...["configuration", "benchmark", "metric", "value", "low", "high", "n", "note"].map((title) => h("th", { scope: "col" }, title)))), body)));
  details.addEventListener("toggle", () => details.open && !body.children.length && body.append(...resultRows()));
  return details;
}

function resultRows() {
  return bundle.configurations.flatMap((one) => Object.entries(one.results).flatMap(([benchmark, metrics]) =>
    Object.entries(metrics).map(([metric, n]) => h("tr", {},
      h("th", { scope: "row" }, name(one.name)), ...[benchmark, metric].map((cell) => h("td", {}, name(cell))),
      ...[n.value, n.low, n.high, n.n].map((cell) => h("td", { class: "number" }, cell === null ? "" : String(cell))),
      h("td", { class: "note" }, n.note ?? "")))));
}
