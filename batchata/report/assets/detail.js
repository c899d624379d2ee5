// The panel of one result: fields on one side, the passages they rest on on the other.

const FACTS = [
  ['model', 'Model'], ['provider', 'Provider'], ['cost', 'Cost', (usdText) => `$${usdText}`],
  ['input', 'Input tokens', count], ['cache_read', '… read from cache', count], ['cache_write', '… written to cache', count],
  ['output', 'Output tokens', count], ['reasoning', '… for reasoning', count],
  ['submitted', 'Submitted'], ['finished', 'Finished'], ['seconds', 'Time to answer', duration],
  ['attempts', 'Attempts'], ['finish_reason', 'Finish reason'], ['batch_id', 'Batch'], ['request_id', 'Request'],
];

const dialog = byId('detail');
let chosen = '';

const NOWHERE = {
  missing: ['not found', 'Quotes that were not found', 'The model’s own words: they stand in none of the documents. Look at these fields.'],
  unchecked: ['not checked', 'Quotes that were not checked', 'The model’s own words: nobody could look for them.'],
};

function citationChip(detail, number) {
  const [, , page, confidence, reason, standing] = detail.citations[number];
  if (NOWHERE[standing]) return el('span', { class: `chip chip-${standing}`, 'data-cite': number, title: reason || null }, NOWHERE[standing][0]);
  const title = [confidence && `confidence: ${confidence}`, reason].filter(Boolean).join(' · ');
  return el('span', { class: `chip${confidence ? ` chip-${confidence}` : ''}`, 'data-cite': number, title: title || null },
    page === null || page === undefined ? `[${number + 1}]` : `p. ${page}`,
    confidence && el('span', { class: 'unseen' }, ` confidence ${confidence}`));
}

function fieldRow(detail, [path, text, kind, cites]) {
  const name = cites.length
    ? el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => choose(chosen === path ? '' : path, true) }, path)
    : path;
  return el('tr', { 'data-field': path, 'data-cites': cites.join(' ') || null, class: cites.length ? 'has-cites' : null,
    onmouseenter: () => heat(cites, path), onmouseleave: () => restore() },
  el('th', { scope: 'row' }, name),
  el('td', { class: `value value-${kind}`, onclick: () => cites.length && !isSelecting() && choose(path, true) }, text),
  detail.citations && el('td', { class: 'cites' }, cites.length
    ? cites.slice(0, 6).map((number) => citationChip(detail, number))
    : kind !== 'none' && el('span', { class: 'quiet' }, 'none')));
}

function fieldsSection(detail) {
  if (!detail.fields) return null;
  return el('section', { class: 'first' }, el('h3', null, 'Fields'),
    el('table', { class: 'fields' },
      el('thead', null, el('tr', null, ['Field', 'Value', ...(detail.citations ? ['Cited'] : [])].map((name) => el('th', { scope: 'col' }, name)))),
      el('tbody', null, detail.fields.map((field) => fieldRow(detail, field)))),
    detail.fields_left && el('p', { class: 'quiet' }, `${plural(detail.fields_left, 'more field')} left out.`));
}

function citationsSection(detail) {
  if (!detail.citations || detail.fields) return null;
  return el('section', { class: 'first' }, el('h3', null, 'Cited passages'), el('ol', { class: 'cited' }, detail.citations.map(([text, source, page], number) =>
    el('li', { 'data-cites': number, 'data-field': `[${number + 1}]`, onmouseenter: () => heat([number]), onmouseleave: () => restore() },
      el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => choose(chosen === `[${number + 1}]` ? '' : `[${number + 1}]`, true) }, text),
      el('span', { class: 'quiet' }, ` ${source}${page ? `, page ${page}` : ''}`)))));
}

function piece([text, cites]) {
  if (text === null) return el('span', { class: 'gap', title: 'left out' }, ' […] ');
  if (!cites) return text;
  return el('mark', { 'data-cites': cites.join(' '), onmouseenter: () => heat(cites), onmouseleave: () => restore(),
    onclick: () => chooseBy(cites) }, text);
}

function pictureOfView(each) {
  const { url, width, height } = pictureOf(each.picture);
  const boxes = (each.boxes || []).map(([left, top, across, down, cite]) => {
    const box = el('span', { class: 'box', 'data-cites': cite, onclick: () => chooseBy([cite]), onmouseenter: () => heat([cite]), onmouseleave: () => restore() });
    Object.assign(box.style, { left: `${left / 10}%`, top: `${top / 10}%`, width: `${across / 10}%`, height: `${down / 10}%` });
    return box;
  });
  return el('div', { class: 'sheet' }, el('img', { src: url, width, height, alt: `Page ${each.page} of ${each.name}; its text follows` }), boxes);
}

function sourceView(each) {
  if (each.standing) {
    const [, name, note] = NOWHERE[each.standing];
    return el('article', { class: each.standing }, el('h4', null, name), el('p', { class: 'quiet' }, note, each.why && ` Why: ${each.why}.`),
      el('div', { class: 'passage quote' }, each.text.map(piece)));
  }
  const heading = el('h4', null, each.name || 'Document', each.page && el('span', { class: 'quiet' }, ` page ${each.page}`));
  const text = el('div', { class: `passage${each.is_quote ? ' quote' : ''}` }, each.text.map(piece));
  if (each.picture === undefined) {
    return el('article', null, heading, each.is_quote && el('p', { class: 'quiet' }, 'As cited; not found in a document at hand.'), text);
  }
  return el('article', null, heading, pictureOfView(each), el('details', null, el('summary', null, 'Text of the page'), text));
}

function sourcesSection(detail) {
  if (!detail.views) return null;
  return el('section', { class: 'sources', 'aria-label': 'Cited documents', tabindex: '0' }, el('h3', null, 'Where it stands'), detail.views.map(sourceView));
}

function folded(name, text, isOpen) {
  return text ? el('details', { class: isOpen ? 'folded first' : 'folded', open: isOpen }, el('summary', null, name), el('pre', null, text)) : null;
}

function pairs(name, found) {
  if (!found || !found.length) return null;
  return el('section', null, el('h3', null, name), el('dl', { class: 'pairs' }, found.map(([key, value]) =>
    el('div', null, el('dt', null, key), el('dd', null, String(value))))));
}

function facts(row, detail) {
  const known = { ...detail, model: row.model, input: row.input, output: row.output, seconds: row.seconds };
  return FACTS.filter(([key]) => known[key] !== undefined && known[key] !== null && known[key] !== '')
    .map(([key, name, say]) => [name, say ? say(known[key]) : known[key]]);
}

function headerOf(row) {
  const place = shown.indexOf(row);
  const step = (name, label, target) => el('button', { type: 'button', 'aria-label': label, title: label, 'data-step': name,
    disabled: !shown[target] || place < 0, onclick: () => change({ job: shown[target].id, field: '' }) }, name);
  return el('header', null,
    el('h2', { id: 'detail-heading', tabindex: '-1' }, row.id), pill(row),
    el('span', { class: 'steps' }, place >= 0 && el('span', { class: 'quiet' }, `${count(place + 1)} of ${count(shown.length)}`),
      step('‹', 'Previous result (left arrow)', place - 1), step('›', 'Next result (right arrow)', place + 1),
      el('button', { type: 'button', 'aria-label': 'Close (Escape)', title: 'Close (Escape)', onclick: () => change({ job: '', field: '' }) }, '✕')));
}

function drawDetail() {
  const row = rows[indexById.get(view.job)];
  if (!row) {
    if (dialog.open) dialog.close();
    if (view.job) byId('count').textContent = `There is no result “${view.job}” in this report.`;
    return;
  }
  const detail = detailOf(row);
  const sources = sourcesSection(detail);
  chosen = '';
  dialog.replaceChildren(headerOf(row), el('div', { class: sources ? 'body two' : 'body' },
    el('div', { class: 'main' },
      detail.error && el('p', { class: 'error first' }, el('strong', null, row.reason ? spaced(row.reason) : row.status), ' ', detail.error),
      fieldsSection(detail),
      !detail.fields && folded('Answer', detail.answer, true), citationsSection(detail),
      detail.fields && folded('Raw answer', detail.answer, false),
      folded('Thinking', detail.thinking, false), folded('Beside the text', detail.extra, false),
      folded('Question', detail.question, false),
      detail.files && el('section', null, el('h3', null, 'Files'), el('ul', { class: 'files' }, detail.files.map((name) => el('li', null, name || 'unnamed')))),
      pairs('Metadata', detail.metadata), pairs('Facts', facts(row, detail))),
    sources));
  if (!dialog.open) dialog.showModal();
  byId('detail-heading').focus();
  if (view.field) choose(nearestField(view.field), false);
}

// The field of this name, or the first one inside it.
function nearestField(path) {
  const names = [...dialog.querySelectorAll('[data-field]')].map((node) => node.getAttribute('data-field'));
  return names.find((name) => name === path) || names.find((name) => name.startsWith(path)) || '';
}

const citesOf = (node) => (node.getAttribute('data-cites') || '').split(' ').filter(Boolean).map(Number);

// Light up what rests on, or is, one of these citations.
function heat(cites, path) {
  for (const node of dialog.querySelectorAll('[data-cites]')) {
    const isHit = citesOf(node).some((each) => cites.includes(each));
    const isOther = path && node.hasAttribute('data-field') && node.getAttribute('data-field') !== path;
    node.classList.toggle('hot', isHit && !isOther);
  }
}

function restore() {
  const row = [...dialog.querySelectorAll('[data-field]')].find((each) => each.getAttribute('data-field') === chosen);
  heat(row ? citesOf(row) : [], chosen);
}

function choose(path, isByHand) {
  chosen = path;
  for (const row of dialog.querySelectorAll('[data-field]')) {
    const isChosen = row.getAttribute('data-field') === path;
    row.classList.toggle('chosen', isChosen);
    row.querySelector('button')?.setAttribute('aria-pressed', String(isChosen));
  }
  restore();
  if (isByHand) remember({ field: path });
  const first = [...dialog.querySelectorAll('.sources .hot')].find((node) => node.offsetParent !== null)
    || openFirst(dialog.querySelector('.sources .hot'));
  first?.scrollIntoView({ block: 'center', behavior: isByHand && !isStill() ? 'smooth' : 'auto' });
}

function openFirst(node) {
  node?.closest('details')?.setAttribute('open', '');
  return node;
}

function chooseBy(cites) {
  const row = [...dialog.querySelectorAll('[data-field]')].find((each) => citesOf(each).some((number) => cites.includes(number)));
  if (row) choose(row.getAttribute('data-field'), true);
  row?.scrollIntoView({ block: 'nearest' });
}

const isStill = () => window.matchMedia('(prefers-reduced-motion: reduce)').matches;
