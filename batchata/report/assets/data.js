// What the file holds, read when it is needed: details of a group of rows are one JSON text.

const blocks = (kind) => [...document.querySelectorAll(`script.${kind}`)];
const parse = (block) => JSON.parse(block.textContent);

const summary = parse(blocks('summary')[0]);
const detailBlocks = blocks('details');
const pictureBlocks = blocks('picture');
const STATUSES = summary.statuses.map(([name]) => name);

const rows = [];
const indexById = new Map();
blocks('rows').forEach((block, group) => {
  parse(block).forEach((row, place) => {
    const [id, status, model, reason, cost, input, output, seconds, snippet, fields, cited, citations, missing] = row;
    indexById.set(id, rows.length);
    rows.push({
      index: rows.length, group, place, id, cost, input, output, seconds, snippet, fields, cited, citations, missing,
      status: STATUSES[status],
      model: summary.model_names[model],
      reason: reason === null ? '' : summary.reason_names[reason],
      tokens: input + output,
    });
  });
});
const hasCitations = rows.some((row) => row.citations > 0 || row.missing > 0);
const hasMissing = rows.some((row) => row.missing > 0);

let openGroup = { number: -1, details: [] };

function detailOf(row) {
  if (openGroup.number !== row.group) {
    openGroup = { number: row.group, details: parse(detailBlocks[row.group]) };
  }
  return openGroup.details[row.place];
}

const pictureOf = (number) => parse(pictureBlocks[number]);

// Words of every result for the search, gathered a group at a time while nobody waits.
const words = [];

function gather() {
  const group = words.length ? rows[words.length - 1].group + 1 : 0;
  if (group >= detailBlocks.length) return false;
  for (const each of parse(detailBlocks[group])) {
    const said = [each.id, each.answer, each.error, each.question, each.batch_id, each.request_id];
    for (const [path, text] of [...(each.fields || []), ...(each.metadata || [])]) said.push(path, text);
    for (const name of each.files || []) said.push(name);
    words.push(said.filter(Boolean).join('\n').toLowerCase());
  }
  return true;
}

function gatherAll() {
  while (gather());
}

function gatherIdly() {
  const idle = window.requestIdleCallback || ((run) => setTimeout(run, 50));
  const next = () => gather() && idle(next);
  idle(next);
}
