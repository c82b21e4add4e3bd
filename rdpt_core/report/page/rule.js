// The rule of rdpt_core/provenance/labels.py, for the question "what if the thresholds were others".
// At the thresholds of the experiment the stored labels stand, which were made from float64.

const CODE = Object.fromEntries(bundle.labels.map((label, code) => [label, code]));

function labelOf(pT, pS, pD, alpha, beta, isThreeWay) {
  const gap = pT - pS;
  if (isThreeWay) return Number.isNaN(gap) ? NONE : byGap(gap, beta, CODE.common);
  const widest = Math.max(Math.abs(gap), Math.abs(pS - pD), Math.abs(pT - pD));
  if (Number.isNaN(widest)) return NONE;
  return widest <= alpha ? CODE.shared : byGap(gap, beta, CODE.boosted);
}

function byGap(gap, beta, residual) {
  if (gap > beta) return CODE.teacher;
  return -gap > beta ? CODE.student : residual;
}

function marginOf(pT, pS, pD, alpha, beta, isThreeWay) {
  const gap = pT - pS;
  const toBeta = Math.abs(Math.abs(gap) - beta);
  if (isThreeWay) return toBeta;
  const widest = Math.max(Math.abs(gap), Math.abs(pS - pD), Math.abs(pT - pD));
  const toAlpha = Math.abs(widest - alpha);
  return widest <= alpha ? toAlpha : Math.min(toAlpha, toBeta);
}

// Labels and margins in force: those of the experiment until a threshold is moved.
const current = { alpha: 0, beta: 0, labels: null, margins: null };
const isShipped = () => current.alpha === bundle.rule.alpha && current.beta === bundle.rule.beta;

function relabel(alpha, beta) {
  current.alpha = alpha;
  current.beta = beta;
  if (isShipped()) {
    current.labels = columns.label;
    current.margins = columns.margin;
    return;
  }
  const { p, label } = columns;
  current.labels = new Uint8Array(label.length).fill(NONE);
  current.margins = new Float32Array(label.length).fill(NaN);
  for (let i = 0; i < label.length; i++) {
    if (label[i] === NONE) continue;
    const isThreeWay = Number.isNaN(p[3 * i + 2]);
    current.labels[i] = labelOf(p[3 * i], p[3 * i + 1], p[3 * i + 2], alpha, beta, isThreeWay);
    current.margins[i] = marginOf(p[3 * i], p[3 * i + 1], p[3 * i + 2], alpha, beta, isThreeWay);
  }
}

const classOf = (sentence) => (current.labels[sentence] === NONE ? null : bundle.labels[current.labels[sentence]]);

function isNear(sentence, trace) {
  const near = bundle.near[columns.configuration[trace]];
  return isNumber(near) && current.margins[sentence] < near;
}

// 0 (at a threshold) to 4 (far from it): how strongly a sentence is coloured.
const strengthOf = (sentence) => clamp(Math.floor(current.margins[sentence] / 0.05), 0, 4);

// Sentences of a trace by class, tags aside; `none` without a label, `near` undetermined.
function countsOf(trace) {
  const counts = { total: 0, none: 0, near: 0 };
  for (const label of bundle.labels) counts[label] = 0;
  for (let i = firstOf(trace); i < firstOf(trace + 1); i++) {
    if (isTag(i)) continue;
    counts.total += 1;
    counts[classOf(i) ?? "none"] += 1;
    if (isNear(i, trace)) counts.near += 1;
  }
  return counts;
}

// Classes that occur, in the order of the figures.
const usedClasses = (() => {
  let found = null;
  return () => (found ||= CLASS_ORDER.filter((label) => CODE[label] !== undefined && columns.label.includes(CODE[label])));
})();
