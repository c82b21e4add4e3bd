// The fixed line about one sentence, which is also the legend of the strip's lines.

function makeDetail() {
  const cells = {};
  const cell = (key, title, glyph) => {
    cells[key] = h("span", { class: "value" });
    return h("span", { class: `cell ${key}` }, glyph, title ? h("span", { class: "key" }, title) : null, cells[key]);
  };
  const line = (role) =>
    g("svg", { width: 26, height: 10, "aria-hidden": "true" }, g("line", { x1: 1, x2: 25, y1: 5, y2: 5, class: `probability ${role}` }));
  const root = h("div", { class: "detail", role: "group", "aria-label": "The sentence" },
    cell("place", ""), cell("class", ""),
    ...ROLES.map((role) => cell(role, role, line(role))),
    cell("margin", "margin"), cell("tokens", "tokens"), cell("note", ""));
  return { root, cells };
}

function describe(pane, sentence) {
  const { cells } = pane.detail;
  const i = firstOf(pane.trace) + sentence;
  if (i >= firstOf(pane.trace + 1)) {
    for (const cell of Object.values(cells)) cell.textContent = "";
    cells.place.textContent = "no sentences";
    return;
  }
  const ordinal = pane.items.indexOf(i) + 1;
  const label = isTag(i) ? null : classOf(i);
  cells.place.textContent = ordinal ? `sentence ${ordinal} of ${pane.items.length}` : "tag";
  cells.class.textContent = label ? `${LETTERS[label]} ${TITLES[label]}` : "no class";
  cells.class.className = `value badge ${label ? `fill c-${label}` : ""}`;
  ROLES.forEach((role, r) => (cells[role].textContent = probability(columns.p[3 * i + r])));
  cells.margin.textContent = label ? probability(current.margins[i]) : "-";
  cells.tokens.textContent = columns.num_tokens[i] || "-";
  cells.note.textContent = noteOf(i, label, pane.trace);
}

function nearWords(configuration) {
  const assumed = bundle.is_measured[configuration] === false ? " (assumed: no noise was measured)" : "";
  return `${bundle.near[configuration].toPrecision(2)}${assumed}`;
}

function noteOf(i, label, trace) {
  const notes = [];
  if (columns.zone[i] === 2) notes.push("in the answer");
  if (!label && columns.reason[i] !== NONE) notes.push(`no score: ${bundle.reasons[columns.reason[i]]}`);
  if (label === "boosted") notes.push(["above both", "between both", "below both"][columns.direction[i]] ?? "");
  if (label && isNear(i, trace)) notes.push(`undetermined: margin below ${nearWords(columns.configuration[trace])}`);
  return notes.filter(Boolean).join("; ");
}
