// The table of results: filtered, sorted, and drawn a page at a time.

const COLUMNS = [
  { key: 'id', name: 'Job', cell: (row) => el('a', { href: hashOf({ job: row.id }) }, row.id) },
  { key: 'status', name: 'Status', cell: (row) => pill(row) },
  { key: 'model', name: 'Model', cell: (row) => row.model },
  { key: 'snippet', name: 'Answer', cell: (row) => row.snippet, kind: 'snippet' },
  { key: 'cited', name: 'Cited', cell: (row) => citedWords(row), kind: 'number', only: () => hasCitations },
  { key: 'tokens', name: 'Tokens', cell: (row) => (row.tokens ? compact(row.tokens) : '–'), kind: 'number' },
  { key: 'cost', name: 'Cost', cell: (row) => (row.cost ? usd(row.cost) : '–'), kind: 'number' },
  { key: 'seconds', name: 'Time', cell: (row) => (row.seconds === null ? '–' : duration(row.seconds)), kind: 'number' },
].filter((column) => !column.only || column.only());

const PAGE_SIZES = [25, 50, 100, 250];
const START = { q: '', status: '', model: '', reason: '', cited: '', sort: '', page: '1', size: '50', job: '', field: '' };
let view = { ...START };
let shown = rows;

const pill = (row) => el('span', { class: `pill pill-${PALETTE[row.status]}` }, row.reason ? spaced(row.reason) : row.status);

function citedWords(row) {
  if (!row.fields) return row.citations ? String(row.citations) : '–';
  if (!row.citations && !row.missing) return '–';
  const share = `${row.cited}/${row.fields}`;
  return row.missing
    ? el('span', { class: 'missing', title: `${plural(row.missing, 'field')} whose quote stands in no document` }, `${share} !`)
    : share;
}

function hashOf(changes) {
  const wanted = { ...view, field: '', ...changes };
  const named = Object.entries(wanted).filter(([name, value]) => value !== START[name]);
  return '#' + new URLSearchParams(named).toString();
}

function readHash() {
  const found = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  return Object.fromEntries(Object.keys(START).map((name) => [name, found[name] ?? START[name]]));
}

const CITED = {
  any: (row) => row.citations > 0,
  none: (row) => row.citations === 0,
  part: (row) => row.fields > 0 && row.cited < row.fields,
  missing: (row) => row.missing > 0,
};

function wanted() {
  const query = view.q.trim().toLowerCase();
  if (query) gatherAll();
  const parts = query.split(/\s+/).filter(Boolean);
  const byCitation = CITED[view.cited];
  return rows.filter((row) =>
    (!view.status || row.status === view.status)
    && (!view.model || row.model === view.model)
    && (!view.reason || row.reason === view.reason)
    && (!byCitation || byCitation(row))
    && parts.every((part) => words[row.index].includes(part)));
}

const collator = new Intl.Collator('en', { numeric: true });

function sorted(found) {
  const [key, direction] = view.sort.split('.');
  const column = COLUMNS.find((each) => each.key === key);
  if (!column) return found;
  const turn = direction === 'down' ? -1 : 1;
  const compare = column.kind === 'number'
    ? (a, b) => (a[key] ?? -1) - (b[key] ?? -1)
    : (a, b) => collator.compare(a[key], b[key]);
  return [...found].sort((a, b) => turn * compare(a, b) || a.index - b.index);
}

function drawHead() {
  const [key, direction] = view.sort.split('.');
  byId('table').tHead.replaceChildren(el('tr', null, COLUMNS.map((column) => {
    const isSorted = column.key === key;
    const next = isSorted && direction === 'up' ? 'down' : isSorted && direction === 'down' ? '' : 'up';
    const arrow = isSorted ? (direction === 'down' ? '▼' : '▲') : '';
    return el('th', { scope: 'col', class: column.kind, 'aria-sort': isSorted ? (direction === 'down' ? 'descending' : 'ascending') : 'none' },
      el('button', { type: 'button', 'data-sort': column.key, onclick: () => change({ sort: next ? `${column.key}.${next}` : '', page: '1' }) },
        column.name, el('span', { class: 'arrow', 'aria-hidden': 'true' }, arrow)));
  })));
}

function drawRows() {
  const size = Number(view.size) || 50;
  const pages = Math.max(1, Math.ceil(shown.length / size));
  const page = Math.min(Math.max(1, Number(view.page) || 1), pages);
  const part = shown.slice((page - 1) * size, page * size);
  byId('table').tBodies[0].replaceChildren(...part.map((row) =>
    el('tr', { 'data-id': row.id, onclick: (event) => event.target.closest('a') || isSelecting() || change({ job: row.id }) },
      COLUMNS.map((column, number) => el(number ? 'td' : 'th', { class: column.kind, scope: number ? null : 'row', 'data-name': column.name.toLowerCase() }, column.cell(row))))));
  byId('count').textContent = shown.length === rows.length
    ? plural(rows.length, 'result')
    : `${count(shown.length)} of ${plural(rows.length, 'result')}`;
  drawPager(page, pages, size);
}

const isSelecting = () => String(window.getSelection()) !== '';

function drawPager(page, pages, size) {
  const button = (name, label, target) => el('button', {
    type: 'button', 'aria-label': label, disabled: target < 1 || target > pages || target === page,
    onclick: () => { change({ page: String(target) }); byId('results').scrollIntoView(); },
  }, name);
  byId('pager').replaceChildren(
    button('«', 'First page', 1), button('‹', 'Previous page', page - 1),
    el('span', null, `Page ${count(page)} of ${count(pages)}`),
    button('›', 'Next page', page + 1), button('»', 'Last page', pages),
    el('label', null, el('span', null, 'Rows'), el('select', { onchange: (event) => change({ size: event.target.value, page: '1' }) },
      PAGE_SIZES.map((each) => el('option', { value: each, selected: each === size }, each)))));
}

function drawTable() {
  shown = sorted(wanted());
  drawHead();
  drawRows();
}
