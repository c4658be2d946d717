// What a page does beyond reading: time runs, points of the chart speak, arrows turn pages, and who is away is signed out.
// Everything works without it but the running of time.
'use strict';

const elapsed = (minutes) => {
  const days = Math.floor(minutes / 1440);
  const hours = Math.floor(minutes / 60) % 24;
  if (days > 1) return `${days} days`;
  if (days === 1) return `1 day ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return `${minutes} min`;
};

// How long a safety answer has been waiting goes on counting while the page stands open.
const tick = () => {
  for (const span of document.querySelectorAll('.since[data-minutes]')) {
    span.dataset.seen = span.dataset.seen || Date.now();
    const passed = Math.floor((Date.now() - Number(span.dataset.seen)) / 60000);
    span.textContent = elapsed(Number(span.dataset.minutes) + passed);
  }
};
tick();
setInterval(tick, 20000);

// A point of the chart tells its answers.
const read = (point) => {
  const reading = point.closest('.chart').querySelector('.reading');
  const title = document.createElement('p');
  const bold = document.createElement('b');
  bold.textContent = point.getAttribute('aria-label');
  title.append(bold);
  const list = document.createElement('ul');
  for (const line of (point.dataset.answers || '').split('\n').filter(Boolean)) {
    const item = document.createElement('li');
    item.textContent = line;
    list.append(item);
  }
  reading.replaceChildren(title, list);
};
for (const kind of ['focusin', 'mouseover']) {
  document.addEventListener(kind, (event) => {
    const point = event.target.closest && event.target.closest('.pt');
    if (point) read(point);
  });
}

// A link into a folded part unfolds it; a link to a row takes the keyboard along.
const arrive = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target; part; part = part.parentElement) if (part.tagName === 'DETAILS') part.open = true;
  const details = target.querySelector(':scope > td details');
  if (details) details.open = true;
  if (target.hasAttribute('tabindex')) target.focus();
};
addEventListener('hashchange', arrive);
arrive();

// After a refusal, the keyboard is where the problem is.
const invalid = document.querySelector('[aria-invalid=true]') || document.querySelector('.problem.whole');
if (invalid) {
  if (invalid.tagName === 'P') invalid.tabIndex = -1;
  invalid.focus();
}

// Arrow keys turn the pages of a review; not while something is being typed, nor in the chart.
document.addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
  if (event.target.closest('input, select, textarea, .chart, summary')) return;
  const rel = { ArrowRight: 'next', ArrowLeft: 'prev' }[event.key];
  const link = rel && document.querySelector(`.turn a[rel=${rel}]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});

// A form that is being sent is not sent twice.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  if (form.method === 'post') form.dataset.sent = 'yes';
});
addEventListener('pageshow', () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// Away for too long: nobody else is to read on.
const idle = Number(document.body.dataset.idle) * 1000;
if (idle) {
  setTimeout(() => location.assign(`/sign-in?idle=true&to=${encodeURIComponent(location.pathname + location.search)}`), idle + 1000);
}

// Changes appear by themselves: when something has happened, the page reads itself anew and exchanges what differs, without
// losing the place, the keyboard or anything typed.
const live = document.querySelector('[data-live]');
const isTyping = () => [...live.querySelectorAll('form.entry')].some((form) => form.contains(document.activeElement)
  || [...form.elements].some((field) => ('defaultValue' in field && field.type !== 'hidden' && field.value !== field.defaultValue)
    || (field.type === 'checkbox' && field.checked !== field.defaultChecked)));
const nameOf = (element) => element && (element.id ? `#${CSS.escape(element.id)}`
  : element.getAttribute('href') ? `a[href="${CSS.escape(element.getAttribute('href'))}"]` : null);
const exchange = async () => {
  const response = await fetch(location.href, { headers: { 'x-live': 'yes' }, redirect: 'error' });
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const selector of ['#safety-strip', '.top nav', '[data-live]']) {
    const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
    if (!old || !now || old.innerHTML === now.innerHTML) continue;
    if (old === document.querySelector('[data-live]') && isTyping()) continue;
    const focused = old.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    const open = [...old.querySelectorAll('details')].map((part) => part.open);
    old.className = now.className;
    old.replaceChildren(...now.childNodes);
    const parts = [...old.querySelectorAll('details')];
    if (parts.length === open.length) parts.forEach((part, n) => { part.open = part.open || open[n]; });
    const again = focused && old.querySelector(focused);
    if (again) again.focus({ preventScroll: true });
  }
};
if (live && window.EventSource) {
  let waiting = null;
  const source = new EventSource('/events');
  const changed = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => exchange().catch(() => {}), 400);
  };
  for (const kind of ['reset', 'patient.recorded', 'measurement.recorded', 'measurement.retracted', 'episode.enrolled',
    'episode.referred', 'episode.amended', 'episode.discharged', 'standing.changed', 'safety.opened', 'safety.closed',
    'plan.changed', 'contact.recorded', 'case_review.recorded', 'treatment_change.recorded', 'safety_assessment.recorded',
    'delivery.written', 'delivery.parked', 'delivery.closed_in_chart', 'quarantine.added', 'rule_set.activated']) {
    source.addEventListener(kind, changed);
  }
  addEventListener('pagehide', () => source.close());
}
