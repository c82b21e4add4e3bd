// The most telling sentences, each a click from its trace.

const TELLING = {
  teacher: ["Largest teacher advantage", "p of the teacher minus p of the student"],
  boosted: ["Most boosted", "p of the distilled model above both others"],
  near: ["Nearest to a threshold", "margin; whose class noise could turn"],
};

function tellingLists(parent) {
  const row = h("div", { class: "telling" });
  for (const [key, [title, caption]] of Object.entries(TELLING)) {
    const items = bundle.telling[key] || [];
    if (!items.length) continue;
    const list = h("ol", {}, ...items.map((item) => h("li", {}, tellingButton(item, key))));
    row.append(h("section", { "aria-label": title }, h("h3", {}, title), h("p", { class: "caption" }, caption), list));
  }
  if (row.children.length) parent.append(row);
}

function tellingButton(item, key) {
  const words = h("span", { class: "excerpt" });
  const value = h("span", { class: "number" }, key === "near" ? item.value.toPrecision(2) : probability(item.value));
  const sentence = firstOf(item.trace) + item.position;
  const open = () => {
    openTrace(item.trace, item.position);
    byId("trace-section").scrollIntoView({ block: "start" });
  };
  readerOf(item.trace).then((read) => {
    words.textContent = short(read(columns.start[sentence], columns.stop[sentence]), 140);
  });
  return button([value, labelBadge(columns.label[sentence]), words, h("span", { class: "muted" }, name(configurationOf(item.trace).name))], open, { class: "row" });
}

function findSection() {
  const section = byId("find");
  heading(section, "find-heading", "Finding traces");
  tellingLists(section);
  const [count, scroller] = questionTable();
  section.append(filterBar(), count, scroller);
  applyFilters();
}
