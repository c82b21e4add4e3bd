// The text of a trace, a span for each sentence: class by colour, letter and underline, strength by
// margin, hatched where undetermined. Long traces stand in parts that the browser lays out when
// they come into view.

const PART = 200;

function classesOf(trace, i) {
  if (isTag(i)) return "tag";
  const label = classOf(i);
  const near = isNear(i, trace) ? " near" : "";
  const zone = columns.zone[i] === 2 ? " answer" : "";
  return label ? `s c-${label} m${strengthOf(i)}${near}${zone}` : `s c-none${zone}`;
}

// Elements of the sentences first to last + 1 of a trace, and the text between them.
function sentencePart(trace, read, first, last, prefix) {
  const part = h("div", { class: "part", role: "presentation" });
  let at = columns.start[first];
  for (let i = first; i < last; i++) {
    const words = read(columns.start[i], columns.stop[i]);
    const core = words.trim();
    const lead = words.indexOf(core);
    if (columns.start[i] > at) part.append(read(at, columns.start[i]));
    part.append(words.slice(0, lead), sentenceSpan(trace, i, core, prefix), words.slice(lead + core.length));
    at = columns.stop[i];
  }
  return part;
}

function sentenceSpan(trace, i, words, prefix) {
  const span = document.createElement("span");
  span.className = classesOf(trace, i);
  span.id = `${prefix}-${i - firstOf(trace)}`;
  span.dataset.i = i;
  if (!isTag(i)) {
    span.setAttribute("role", "option");
    span.setAttribute("aria-selected", "false");
  }
  span.textContent = words;
  return span;
}

// Where parts begin: after a line break, if there is one near.
function partStarts(trace, read) {
  const [first, end] = [firstOf(trace), firstOf(trace + 1)];
  const starts = [first];
  for (let i = first + PART; i < end; i++) {
    const isBreak = read(columns.stop[i - 1] - 1, columns.stop[i - 1]) === "\n";
    if (isBreak || i - starts[starts.length - 1] >= 2 * PART) {
      starts.push(i);
      i += PART - 1;
    }
  }
  return [...starts, end];
}

async function traceParts(trace, prefix) {
  const read = await readerOf(trace);
  const starts = partStarts(trace, read);
  return starts.slice(0, -1).map((first, k) => sentencePart(trace, read, first, starts[k + 1], prefix));
}
