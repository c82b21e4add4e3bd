// The Bundle, decoded: small things under the names of bundle.py, columns as typed arrays, texts in
// blocks that are unpacked when a trace of theirs is opened.

const bundle = JSON.parse(byId("data").textContent);
const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array, float32: Float32Array };
const NONE = 255;
const CLASS_ORDER = ["teacher", "boosted", "shared", "common", "student"];
const LETTERS = { teacher: "T", student: "S", shared: "=", common: "=", boosted: "+" };
const TITLES = { teacher: "Teacher", student: "Student", shared: "Shared", common: "Common", boosted: "Boosted" };
const columns = {};
const blocks = new Map();

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unpacked(id) {
  const packed = new Blob([bytesOf(byId(id).textContent)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function decode() {
  const buffer = await unpacked("columns");
  let offset = 0;
  for (const [column, type, size] of bundle.columns) {
    const bytes = size * ARRAYS[type].BYTES_PER_ELEMENT;
    columns[column] = new ARRAYS[type](buffer.slice(offset, offset + bytes));
    offset += bytes;
  }
  columns.first_sentence = sums(columns.num_sentences);
  columns.first_byte = sums(columns.num_bytes);
  places();
}

function sums(steps) {
  const total = new Float64Array(steps.length + 1);
  for (let i = 0; i < steps.length; i++) total[i + 1] = total[i] + steps[i];
  return total;
}

// Bytes of each sentence in its trace, from the gaps before them and their lengths.
function places() {
  const { gap, length, num_sentences, first_sentence } = columns;
  columns.start = new Float64Array(gap.length);
  columns.stop = new Float64Array(gap.length);
  for (let t = 0; t < num_sentences.length; t++) {
    for (let i = first_sentence[t], at = 0; i < first_sentence[t + 1]; i++) {
      columns.start[i] = at + gap[i];
      at = columns.stop[i] = columns.start[i] + length[i];
    }
  }
}

const numTraces = () => columns.configuration.length;
const configurationOf = (trace) => bundle.configurations[columns.configuration[trace]];
const questionOf = (trace) => bundle.questions[columns.question[trace]];
const outcomeOf = (trace) => bundle.outcomes[columns.outcome[trace]];
const isCorrect = (trace) => outcomeOf(trace) === "correct";
const firstOf = (trace) => columns.first_sentence[trace];
const isTag = (sentence) => columns.zone[sentence] === 0;

// Traces of a question in the order of configurations and samples.
const tracesOf = (() => {
  let index = null;
  return (question) => {
    if (!index) {
      index = bundle.questions.map(() => []);
      columns.question.forEach((q, trace) => index[q].push(trace));
    }
    return index[question];
  };
})();

function blockOf(byte) {
  let low = 0;
  let high = bundle.blocks.length - 1;
  while (low < high) {
    const half = (low + high + 1) >> 1;
    if (bundle.blocks[half] <= byte) low = half;
    else high = half - 1;
  }
  return low;
}

function blockBytes(block) {
  if (!blocks.has(block)) {
    blocks.set(block, unpacked(`block-${block}`).then((buffer) => new Uint8Array(buffer)));
  }
  return blocks.get(block);
}

// A function from bytes of the trace to its text.
async function readerOf(trace) {
  const first = columns.first_byte[trace];
  if (columns.num_bytes[trace] === 0) return () => "";
  const block = blockOf(first);
  const bytes = await blockBytes(block);
  const decoder = new TextDecoder();
  const base = first - bundle.blocks[block];
  return (start, stop) => decoder.decode(bytes.subarray(base + start, base + stop));
}

async function textOf(trace) {
  return (await readerOf(trace))(0, columns.num_bytes[trace]);
}

function traceOf(id, configuration) {
  const found = [];
  bundle.trace_id.forEach((one, trace) => one === id && found.push(trace));
  const exact = found.find((trace) => configurationOf(trace).name === configuration);
  return exact ?? found[0];
}

// A row of `results`, or null.
function numberOf(shown, benchmark, metric) {
  const found = shown.results[benchmark] && shown.results[benchmark][metric];
  return found && isNumber(found.value) ? found : null;
}
