// The address holds what is shown: a link to a result, or to a filter, can be sent to somebody.

const form = byId('filters');
let returnTo = null;

function remember(changes) {
  view = { ...view, ...changes };
  try {
    history.replaceState(null, '', hashOf({ field: view.field }));
  } catch {
    // a browser that forbids it for files loses the address, nothing else
  }
}

function change(changes) {
  const wasOpen = dialog.open;
  if (changes.job && !wasOpen) returnTo = changes.job;
  remember(changes);
  draw(Object.keys(changes).some((name) => name !== 'job' && name !== 'field'));
}

function showOnly(filter) {
  change({ ...START, sort: view.sort, size: view.size, ...filter });
  byId('results').scrollIntoView();
  byId('results').focus({ preventScroll: true });
}

function draw(isTable) {
  if (isTable) drawTable();
  for (const field of form.elements) {
    if (field.name && field.value !== view[field.name]) field.value = view[field.name];
  }
  drawDetail();
}

function fillFilters() {
  const options = (name, all, found) => form.elements[name].append(
    el('option', { value: '' }, all), ...found.map(([value, text]) => el('option', { value }, text)));
  const of = (key) => [...new Set(rows.map((row) => row[key]).filter(Boolean))].sort(collator.compare);
  options('status', 'all', STATUSES.filter((name) => rows.some((row) => row.status === name)).map((name) => [name, name]));
  options('model', 'all', of('model').map((name) => [name, name]));
  options('reason', 'all', of('reason').map((name) => [name, spaced(name)]));
  options('cited', 'all', [['any', 'some'], ['part', 'some fields without'], ['none', 'none'],
    ...(hasMissing ? [['missing', 'quotes not found']] : [])]);
  form.elements.cited.closest('label').hidden = !hasCitations;
  form.elements.reason.closest('label').hidden = !of('reason').length;
}

function listen() {
  form.addEventListener('submit', (event) => event.preventDefault());
  for (const name of ['status', 'model', 'reason', 'cited']) {
    form.elements[name].addEventListener('change', (event) => change({ [name]: event.target.value, page: '1' }));
  }
  form.elements.q.addEventListener('input', later(() => change({ q: form.elements.q.value, page: '1' }), 120));
  byId('clear').addEventListener('click', () => change({ ...START, size: view.size }));
  window.addEventListener('hashchange', () => {
    // the skip link is no view
    if (location.hash && !location.hash.includes('=')) return;
    view = readHash();
    draw(true);
  });
  dialog.addEventListener('cancel', (event) => { event.preventDefault(); change({ job: '', field: '' }); });
  dialog.addEventListener('click', (event) => event.target === dialog && change({ job: '', field: '' }));
  dialog.addEventListener('close', () => {
    [...byId('table').querySelectorAll('tbody tr')].find((row) => row.dataset.id === returnTo)?.querySelector('a').focus();
  });
  dialog.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: '‹', ArrowRight: '›' }[event.key];
    if (step && !event.target.closest('pre, .passage')) dialog.querySelector(`[data-step="${step}"]`)?.click();
  });
}

view = readHash();
drawSummary();
fillFilters();
listen();
draw(true);
gatherIdly();
