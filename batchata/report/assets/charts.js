// Totals and charts. Bars are SVG without text, so that they stretch; words beside them are HTML.

// also the order of the bar
const PALETTE = { succeeded: 'good', failed: 'bad', cancelled: 'still', skipped: 'warn', submitted: 'busy', pending: 'idle' };

function bar(parts, whole) {
  let x = 0;
  const rects = parts.map(([value, kind]) => {
    const width = whole ? (100 * value) / whole : 0;
    const rect = svg('rect', { x, y: 0, width: value ? Math.max(width, 0.4) : 0, height: 10, class: `fill-${kind}` });
    x += width;
    return rect;
  });
  return svg('svg', { class: 'bar', viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, rects);
}

function figure(title, note, ...children) {
  return el('figure', null, el('figcaption', null, el('h3', null, title), note && el('p', null, note)), children);
}

// One line a name: [name, value text, parts, filter to set when it is chosen].
function bars(lines, whole) {
  return el('ul', { class: 'bars' }, lines.map(([name, value, parts, filter]) => {
    const inside = [el('span', { class: 'name', title: name }, name), el('span', { class: 'value' }, value), bar(parts, whole)];
    return el('li', null, filter
      ? el('button', { type: 'button', title: 'Show only these', onclick: () => showOnly(filter) }, inside)
      : el('div', null, inside));
  }));
}

const key = (kind, name) => el('span', { class: 'key' }, el('span', { class: `dot back-${kind}`, 'aria-hidden': 'true' }), name);

function drawStatuses() {
  const order = Object.keys(PALETTE);
  const found = summary.statuses.filter(([, number]) => number).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const parts = found.map(([name, number]) => [number, PALETTE[name]]);
  byId('statuses').append(
    bar(parts, summary.jobs),
    el('ul', { class: 'legend' }, found.map(([name, number]) => el('li', null,
      el('button', { type: 'button', title: 'Show only these', onclick: () => showOnly({ status: name }) },
        el('span', { class: `dot back-${PALETTE[name]}`, 'aria-hidden': 'true' }),
        el('strong', null, count(number)), ` ${name} `, el('span', { class: 'quiet' }, share(number, summary.jobs)))))));
}

function card(name, value, ...notes) {
  return el('div', { class: 'card' }, el('dt', null, name), el('dd', null,
    el('strong', null, value), notes.filter(Boolean).map((note) => el('span', null, note))));
}

function drawCards() {
  const s = summary;
  const took = s.began && s.ended ? (new Date(s.ended) - new Date(s.began)) / 1000 : null;
  const done = s.statuses.find(([name]) => name === 'succeeded')[1];
  byId('cards').append(
    card('Jobs', count(s.jobs), `${share(done, s.jobs)} succeeded`, s.batches > 0 && plural(s.batches, 'batch').replace('batchs', 'batches')),
    card('Cost', usd(s.spent_usd),
      s.limit_usd === null ? 'no limit' : `of ${usd(s.limit_usd)} limit (${share(s.spent_usd, s.limit_usd)})`,
      s.failed_usd > 0 && `${usd(s.failed_usd)} on jobs that did not succeed`,
      s.possibly_billed > 0 && `≤ ${usd(s.possibly_billed_usd)} possibly billed for up to ${plural(s.possibly_billed, 'lost answer')}`,
      s.reserved_usd > 0 && `≤ ${usd(s.reserved_usd)} reserved`),
    card('Tokens', compact(s.input_tokens + s.output_tokens),
      `${compact(s.input_tokens)} in, ${compact(s.output_tokens)} out`,
      s.cached_tokens > 0 && `${compact(s.cached_tokens)} read from cache`),
    card('Duration', took === null ? '–' : duration(took),
      s.latency && `half answered within ${duration(s.latency.median)}`,
      s.latency && `95 % within ${duration(s.latency.p95)}`),
    card('Models', count(s.models.length), ...s.models.slice(0, 3).map(([name, jobs]) => `${name}: ${count(jobs)}`)));
}

function modelFigures() {
  const models = summary.models.slice(0, 12);
  const cost = models.map(([name, , usdSpent]) => [name, usd(usdSpent), [[usdSpent, 'accent']], { model: name }]);
  if (summary.elsewhere_usd > 1e-12) {
    cost.push(['earlier attempts', usd(summary.elsewhere_usd), [[summary.elsewhere_usd, 'still']], null]);
  }
  const dearest = Math.max(summary.elsewhere_usd, ...models.map((each) => each[2]));
  const tokens = models.map(([name, , , input, output]) => [
    name, `${compact(input)} in, ${compact(output)} out`, [[input, 'accent'], [output, 'second']], { model: name }]);
  const most = Math.max(...models.map((each) => each[3] + each[4]));
  return [
    figure('Cost by model', null, bars(cost, dearest)),
    figure('Tokens by model', [key('accent', 'input'), key('second', 'output')], bars(tokens, most)),
  ];
}

function latencyFigure() {
  const found = summary.latency;
  if (!found) return null;
  const { start, step, counts, is_open: isOpen } = found;
  const most = Math.max(...counts);
  const end = start + step * counts.length;
  const range = (index) => {
    const from = duration(start + step * index);
    const isLast = index === counts.length - 1;
    return isLast && isOpen ? `${from} and more` : `${from} to ${duration(start + step * (index + 1))}`;
  };
  const width = 100 / counts.length;
  const columns = counts.map((number, index) => {
    const height = number ? Math.max(1.5, (96 * number) / most) : 0;
    return svg('rect', { x: index * width + width * 0.08, y: 100 - height, width: width * 0.84, height,
      class: isOpen && index === counts.length - 1 ? 'fill-still' : 'fill-accent' },
    svg('title', null, `${range(index)}: ${plural(number, 'answer')}`));
  });
  const at = (seconds) => Math.min(100, (100 * (seconds - start)) / (end - start));
  const mark = (seconds) => svg('line', { x1: at(seconds), x2: at(seconds), y1: 0, y2: 100, class: 'mark' });
  const label = `Answers came after ${range(0).split(' to ')[0]} to ${duration(found.most)}, half of them within ${duration(found.median)}, 95 % within ${duration(found.p95)}`;
  return figure('Time to answer', `median ${duration(found.median)} · 95 % within ${duration(found.p95)} · longest ${duration(found.most)}`,
    svg('svg', { class: 'columns', viewBox: '0 0 100 100', preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
      columns, mark(found.median), mark(found.p95)),
    el('div', { class: 'axis', 'aria-hidden': 'true' }, el('span', null, duration(start)),
      el('span', null, isOpen ? `${duration(start + step * (counts.length - 1))} +` : duration(end))));
}

function reasonFigure() {
  if (!summary.reasons.length) return figure('Failures by reason', null, el('p', { class: 'quiet' }, 'None: no job has failed.'));
  const most = Math.max(...summary.reasons.map((each) => each[1]));
  return figure('Failures by reason', null, bars(summary.reasons.slice(0, 12).map(([name, number]) =>
    [spaced(name), count(number), [[number, 'bad']], { reason: name }]), most));
}

function drawSummary() {
  byId('subtitle').append(summary.began
    ? `${moment(summary.began)} – ${summary.ended ? moment(summary.ended) : 'now'}`
    : 'Nothing has been sent yet.');
  if (!summary.jobs) {
    byId('notices').append(el('p', { class: 'notice' }, 'The run has no jobs.'));
  }
  const left = summary.jobs - summary.shown;
  if (left > 0) {
    byId('notices').append(el('p', { class: 'notice' },
      `${count(summary.shown)} of ${plural(summary.jobs, 'result')} are in this file, those that did not succeed first; `
      + `${count(left)} are left out. Totals and charts count all of them. More: --limit ${summary.jobs}`));
  }
  drawStatuses();
  drawCards();
  byId('charts').append(...[...(summary.models.length ? modelFigures() : []), latencyFigure(), reasonFigure()].filter(Boolean));
  byId('foot').append(`Made ${moment(summary.made)} by batchata. This file holds everything it shows and loads nothing.`);
}
