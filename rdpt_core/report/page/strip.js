// The strip: three probabilities over sentence position on ground coloured by class, the band of
// beta around the student's. To scale for 5 sentences as for 20,000: where a sentence has less than
// three pixels, lines are means of neighbours and the ground is stacked by their shares.

const LEAST_PIXELS = 3;
const STRIP_LEFT = 34;
const STRIP_HEIGHT = 96;
const ROLES = ["teacher", "student", "distilled"];
let numPatterns = 0;

// Indices of the sentences of a trace, tags aside.
function itemsOf(trace) {
  const items = [];
  for (let i = firstOf(trace); i < firstOf(trace + 1); i++) if (!isTag(i)) items.push(i);
  return items;
}

// Neighbours that share a place on the strip.
function bins(items, width) {
  const size = Math.max(1, Math.ceil((items.length * LEAST_PIXELS) / Math.max(width, 1)));
  const found = [];
  for (let i = 0; i < items.length; i += size) found.push(items.slice(i, i + size));
  return found;
}

function mean(bin, role) {
  let sum = 0;
  let num = 0;
  for (const i of bin) {
    const value = columns.p[3 * i + role];
    if (!Number.isNaN(value)) (sum += value), (num += 1);
  }
  return num ? sum / num : null;
}

// `items` are drawn in a box of `width`; returns the SVG and where a sentence is.
function drawStrip(trace, items, width, label) {
  const height = STRIP_HEIGHT + 22;
  const x = scale(0, Math.max(items.length, 1), STRIP_LEFT, width - 2);
  const y = scale(0, 1, STRIP_HEIGHT, 6);
  const svg = g("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "strip" });
  const packed = bins(items, width - STRIP_LEFT);
  const size = packed.length ? packed[0].length : 1;
  const pattern = `hatch-${numPatterns++}`;
  svg.append(hatch(pattern), ...ground(trace, packed, size, x, pattern));
  for (const tick of [0, 0.5, 1]) svg.append(
    g("line", { x1: STRIP_LEFT, x2: width - 2, y1: y(tick), y2: y(tick), class: "grid over" }),
    text(STRIP_LEFT - 5, y(tick) + 4, String(tick), { "text-anchor": "end", class: "muted" }));
  const centres = packed.map((bin, i) => x(i * size + bin.length / 2));
  svg.append(...band(packed, centres, x, y, size), ...ROLES.flatMap((role, r) => probabilityLine(packed, centres, role, r, x, y, size)));
  svg.append(...zoneLines(items, x));
  return { svg, x };
}

function hatch(id) {
  const lines = g("path", { d: "M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2", class: "hatch-line" });
  return g("defs", {}, g("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, lines));
}

// One path for each class and strength, and one for the hatching.
function ground(trace, packed, size, x, pattern) {
  const paths = new Map();
  const add = (key, left, right, top, bottom) =>
    paths.set(key, `${paths.get(key) || ""}M${left},${round(top)}H${right}V${round(bottom)}H${left}Z`);
  packed.forEach((bin, k) => {
    const left = x(k * size);
    const right = x(k * size + bin.length);
    if (bin.length === 1) {
      const key = classOf(bin[0]) ?? "none";
      add(key === "none" ? key : `${key} m${strengthOf(bin[0])}`, left, right, 6, STRIP_HEIGHT);
      if (isNear(bin[0], trace)) add("hatched", left, right, 6, STRIP_HEIGHT);
    } else {
      stack(bin, (key, from, to) => add(key, left, right, 6 + from * (STRIP_HEIGHT - 6), 6 + to * (STRIP_HEIGHT - 6)));
    }
  });
  return [...paths].sort(([a], [b]) => (a === "hatched") - (b === "hatched")).map(([key, d]) => {
    if (key === "hatched") return g("path", { d, fill: `url(#${pattern})` });
    const [label, strength] = key.split(" ");
    return g("path", { d, class: `fill-${label} ${strength || ""}` });
  });
}

function stack(bin, add) {
  const counts = {};
  for (const i of bin) counts[classOf(i) ?? "none"] = (counts[classOf(i) ?? "none"] || 0) + 1;
  let from = 0;
  for (const label of [...CLASS_ORDER, "none"]) {
    if (!counts[label]) continue;
    const to = from + counts[label] / bin.length;
    add(`${label} m4`, from, to);
    from = to;
  }
}

// Parts of a line without gaps, as lists of [bin, value].
function pieces(packed, value) {
  const found = [];
  let piece = [];
  packed.forEach((bin, k) => {
    const at = value(bin);
    if (at !== null) piece.push([k, at]);
    else if (piece.length) piece = (found.push(piece), []);
  });
  if (piece.length) found.push(piece);
  return found;
}

function band(packed, centres, x, y, size) {
  const at = (p) => y(clamp(p, 0, 1));
  return pieces(packed, (bin) => mean(bin, 1)).map((piece) => {
    const [[first, start]] = piece;
    const [last, end] = piece[piece.length - 1];
    const points = [[x(first * size), start], ...piece.map(([k, p]) => [centres[k], p]), [x(last * size + packed[last].length), end]];
    const upper = points.map(([cx, p]) => `${cx},${at(p + current.beta)}`);
    const lower = points.reverse().map(([cx, p]) => `${cx},${at(p - current.beta)}`);
    return g("polygon", { points: [...upper, ...lower].join(" "), class: "beta-band" });
  });
}

function probabilityLine(packed, centres, role, r, x, y, size) {
  const spacing = packed.length > 1 ? centres[1] - centres[0] : Infinity;
  return pieces(packed, (bin) => mean(bin, r)).flatMap((piece) => {
    const points = piece.map(([k, p]) => `${centres[k]},${y(p)}`).join(" ");
    const line = g("polyline", { points, class: `probability ${role}` });
    const marks = spacing < 9 ? [] : piece.map(([k, p]) => g("circle", { cx: centres[k], cy: y(p), r: 2.6, class: `probability-dot ${role}` }));
    return [g("polyline", { points, class: "halo" }), line, ...marks];
  });
}

// Where the answer begins.
function zoneLines(items, x) {
  const at = items.findIndex((i) => columns.zone[i] === 2);
  if (at <= 0) return [];
  return [g("line", { x1: x(at), x2: x(at), y1: 2, y2: STRIP_HEIGHT, class: "zone-line" })];
}
