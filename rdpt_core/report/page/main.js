// Decodes, draws what is seen first, then the rest.

function printing() {
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")].filter((one) => one.id !== "all-results" && one.id !== "what-if");
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
}

async function main() {
  await decode();
  relabel(bundle.rule.alpha, bundle.rule.beta);
  overview();
  if (numTraces()) {
    traceSection();
    applyFilters();
    if (!readHash()) openFirst();
    addEventListener("hashchange", readHash);
  } else {
    heading(byId("trace-section"), "trace-heading", "Trace");
    heading(byId("find"), "find-heading", "Finding traces");
    byId("trace-section").append(h("p", { class: "caption" }, "No answer has been sampled or imported yet."));
  }
  listenToKeys();
  themeButton();
  printing();
  document.documentElement.dataset.ready = "first";
  setTimeout(() => {
    if (numTraces()) findSection();
    differencesSection();
    selectionSection();
    numbersSection();
    document.documentElement.dataset.ready = "all";
  });
}

// A browser from before 2023 lacks DecompressionStream.
main().catch((error) => {
  byId("overview").append(h("p", { role: "alert" }, `This report could not be drawn: ${error.message}. It needs a browser of 2024 or later.`));
  throw error;
});
