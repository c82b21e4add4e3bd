// Keys of the whole page, the help that lists them, the theme.

const KEYS = [
  ["j", "next sentence", () => stepKey(1)],
  ["k", "previous sentence", () => stepKey(-1)],
  ["n", "next trace of this configuration, in the order of the table", () => stepTrace(1)],
  ["p", "previous trace", () => stepTrace(-1)],
  ["c", "another configuration beside it, and the next; then none", nextBeside],
  ["/", "search", () => byId("search").focus()],
  ["?", "this help", showHelp],
];

function stepKey(step) {
  const isSecond = byId("pane-b").contains(document.activeElement);
  stepSentence(isSecond ? panes.second : panes.first, step);
}

function nextBeside() {
  const here = tracesOf(columns.question[state.trace]);
  const mine = columns.configuration[state.trace];
  const others = besides(here, mine);
  const next = others[others.indexOf(state.second) + 1];
  chooseSecond(next === undefined ? "" : String(next));
}

function showHelp() {
  const dialog = byId("help");
  const rows = [...KEYS.map(([key, words]) => [key, words]), ["arrows", "in the text: sentences; in the table: rows and configurations; Enter opens"]];
  dialog.replaceChildren(
    h("h2", { id: "help-heading" }, "Keys"),
    h("dl", {}, ...rows.flatMap(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)])),
    h("p", { class: "caption" }, "The address of the page names the open trace and sentence: copy it to point at them."),
    button("Close", () => dialog.close()));
  dialog.showModal();
}

const TYPED_INTO = ["INPUT", "SELECT", "TEXTAREA"];

function isTyping(target) {
  return TYPED_INTO.includes(target.tagName) && target.type !== "range";
}

function listenToKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || byId("help").open) return;
    const found = KEYS.find(([key]) => key === event.key);
    if (!found || (!numTraces() && found[2] !== showHelp)) return;
    event.preventDefault();
    found[2]();
  });
  byId("help-button").addEventListener("click", showHelp);
}

const THEMES = ["system", "light", "dark"];

function themeButton() {
  const toggle = byId("theme");
  let at = 0;
  toggle.addEventListener("click", () => {
    at = (at + 1) % THEMES.length;
    toggle.textContent = `Theme: ${THEMES[at]}`;
    document.documentElement.dataset.theme = THEMES[at];
  });
}
