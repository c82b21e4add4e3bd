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

main();
