// What a page does beyond reading: time runs, points of the chart speak, keys turn pages, and who is away is signed out.
// Everything works without it but the running of time.
'use strict';

// Where this page can be read again. After a rejected form the browser's address takes only forms.
const address = () => document.querySelector('[data-address]')?.dataset.address || location.pathname + location.search;

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

// Keys turn the pages of a review: arrows, and letters unless somebody turned these off (who speaks to the computer says
// letters without meaning keys). Not while something is being typed, nor in the chart.
const letters = document.getElementById('letter-keys');
let lettersAre = 'on';
// Within somebody else's page a browser may keep nothing for us.
try { lettersAre = localStorage.getItem('letter-keys') || 'on'; } catch { /* on until the page is left */ }
const showLetters = () => {
  letters.textContent = lettersAre === 'on' ? 'Turn letter keys off' : 'Turn letter keys on';
};
if (letters) {
  letters.hidden = false;
  showLetters();
  letters.addEventListener('click', () => {
    lettersAre = lettersAre === 'on' ? 'off' : 'on';
    try { localStorage.setItem('letter-keys', lettersAre); } catch { /* as above */ }
    showLetters();
  });
}
document.addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
  if (event.target.closest('input, select, textarea, .chart, summary, [contenteditable]')) return;
  const rel = { ArrowRight: 'next', ArrowLeft: 'prev', ...(lettersAre === 'on' ? { j: 'next', k: 'prev' } : {}) }[event.key];
  const link = rel && document.querySelector(`.turn a[rel=${rel}]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});

// A questionnaire is filled in with the digits: each answers an item and goes on to the next. The total, its band and the
// alarm of the item about self-harm are there before anything is saved.
const score = document.querySelector('form.score');
if (score) {
  const questions = [...score.querySelectorAll('.question')];
  const bands = score.dataset.bands.split(';').map((band) => [Number.parseInt(band, 10), band.slice(band.indexOf(' ') + 1)]);
  const answerOf = (question) => question.querySelector('input:checked')?.value;
  const reckon = () => {
    const answers = questions.map(answerOf).filter((answer) => answer !== undefined).map(Number);
    const sum = answers.reduce((total, answer) => total + answer, 0);
    score.querySelector('.sum').textContent = answers.length ? sum : '–';
    const band = bands.filter(([from]) => from <= sum).pop();
    score.querySelector('.band').textContent = answers.length === questions.length && band ? band[1] : '';
    score.querySelector('.open').textContent = answers.length < questions.length ? `${questions.length - answers.length} left open` : '';
    const harm = score.querySelector('[data-self-harm]');
    score.querySelector('.alarm').hidden = !(harm && Number(answerOf(harm) || 0) > 0);
  };
  score.addEventListener('change', reckon);
  score.addEventListener('keydown', (event) => {
    const question = event.target.closest('.question');
    if (!question || !/^[0-9]$/.test(event.key)) return;
    const answer = question.querySelector(`input[value="${event.key}"]`);
    if (!answer) return;
    event.preventDefault();
    answer.checked = true;
    answer.dispatchEvent(new Event('change', { bubbles: true }));
    const next = questions[questions.indexOf(question) + 1];
    (next ? next.querySelector('input') : answer).focus();
  });
  reckon();
}

// A form that is being sent is not sent twice.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  if (form.method === 'post') form.dataset.sent = 'yes';
});
addEventListener('pageshow', () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// Whoever is away for too long is signed out, because somebody else could read on. What counts is activity, not the time
// since the page was loaded: the server learns of it once a minute. A warning comes two minutes before the end.
const idle = Number(document.body.dataset.idle) * 1000;
if (idle) {
  const warning = document.getElementById('idle-warning');
  let active = Date.now();
  let reported = active;
  const isWarned = () => Date.now() - active > idle - 120000;
  const report = () => {
    reported = Date.now();
    fetch('/session', { method: 'GET', redirect: 'error' }).catch(() => {});
  };
  for (const kind of ['keydown', 'pointerdown', 'wheel', 'touchstart']) {
    addEventListener(kind, () => {
      active = Date.now();
      warning.hidden = true;
      if (active - reported > 60000) report();
    }, { passive: true, capture: true });
  }
  setInterval(() => {
    if (Date.now() - active > idle) {
      location.assign(`/sign-in?idle=true&to=${encodeURIComponent(address() || '/')}`);
    } else {
      warning.hidden = !isWarned();
    }
  }, 5000);
}

// What was typed and not saved is kept in this tab until it is saved: across another form, a link, and signing out. It is
// kept for the person who typed it, and nobody else.
const owner = document.body.dataset.owner;
const kept = 'drafts';
const drafts = () => {
  try {
    const all = JSON.parse(sessionStorage.getItem(kept) || '{}');
    return all.owner === owner ? all : { owner, forms: {}, sent: null };
  } catch { return { owner, forms: {}, sent: null }; }
};
const keepDrafts = (all) => { try { sessionStorage.setItem(kept, JSON.stringify(all)); } catch { /* nothing is kept */ } };
const isDraft = (field) => field.name && field.type !== 'hidden' && field.type !== 'submit';
const valueOf = (form) => [...form.elements].filter(isDraft).map((field) => [field.name, field.value,
  field.type === 'checkbox' || field.type === 'radio' ? field.checked : null]);
const fillFrom = (form, values) => {
  for (const [name, value, checked] of values) {
    const same = [...form.elements].filter((field) => isDraft(field) && field.name === name);
    const field = checked === null ? same[0] : same.find((one) => one.value === value);
    if (!field) continue;
    if (checked === null) field.value = value; else field.checked = checked;
  }
};
const nameOf = (form) => `${form.getAttribute('action')}#${form.id}`;
if (owner) {
  const all = drafts();
  // A form that was sent and not shown again with a problem is saved. Coming from the sign-in page, it was not.
  const cameBack = /\/sign-in/.test(document.referrer);
  if (all.sent && !cameBack && !document.querySelector('.problem.whole')) delete all.forms[all.sent];
  all.sent = null;
  keepDrafts(all);
  for (const form of document.querySelectorAll('form.entry')) {
    const values = all.forms[nameOf(form)];
    if (!values || form.querySelector('.problem')) continue;
    fillFrom(form, values);
    for (let part = form.parentElement; part; part = part.parentElement) if (part.tagName === 'DETAILS') part.open = true;
    const note = document.createElement('p');
    note.className = 'note wide restored';
    note.setAttribute('role', 'status');
    note.textContent = 'This text was typed earlier and is not saved yet. ';
    const discard = document.createElement('button');
    discard.type = 'button';
    discard.className = 'quiet';
    discard.textContent = 'Discard it';
    discard.addEventListener('click', () => {
      const now = drafts();
      delete now.forms[nameOf(form)];
      keepDrafts(now);
      form.reset();
      note.remove();
    });
    note.append(discard);
    form.prepend(note);
  }
  const keep = (event) => {
    const form = event.target.closest && event.target.closest('form.entry');
    if (!form) return;
    const now = drafts();
    now.forms[nameOf(form)] = valueOf(form);
    keepDrafts(now);
  };
  document.addEventListener('input', keep);
  document.addEventListener('change', keep);
  document.addEventListener('submit', (event) => {
    if (!event.target.matches('form.entry')) return;
    const now = drafts();
    now.sent = nameOf(event.target);
    keepDrafts(now);
  });
}

// Changes appear by themselves: when something has happened, the page reads itself anew and exchanges what differs, without
// losing the place, the keyboard or anything typed.
const live = document.querySelector('[data-live]');
const isTyping = () => [...live.querySelectorAll('form.entry')].some((form) => form.contains(document.activeElement)
  || [...form.elements].some((field) => ('defaultValue' in field && field.type !== 'hidden' && field.value !== field.defaultValue)
    || (field.type === 'checkbox' && field.checked !== field.defaultChecked)));
// An unfolded part is known again by where it stands: in which row or entry, and what it says.
const placeOf = (part) => {
  const link = part.closest('tr, li')?.querySelector('a[href]')?.getAttribute('href');
  return part.id || part.dataset.part || [part.closest('[id]')?.id, link, part.querySelector('summary')?.textContent].join('|');
};
// What has the keyboard is known again by its id, its address, or the part it unfolds.
const keyOf = (element) => element.id || element.getAttribute('href')
  || (element.tagName === 'SUMMARY' ? `summary ${placeOf(element.parentElement)}` : null);
const exchange = async () => {
  const response = await fetch(address(), { headers: { 'x-live': 'yes' }, redirect: 'error' });
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const selector of ['#safety-strip', '.top nav', '#concerns', '[data-live]']) {
    const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
    if (!old || !now || old.innerHTML === now.innerHTML) continue;
    if (old === document.querySelector('[data-live]') && isTyping()) continue;
    const key = old.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    const open = new Set([...old.querySelectorAll('details[open]')].map(placeOf));
    const [x, y] = [scrollX, scrollY];
    old.className = now.className;
    old.replaceChildren(...now.childNodes);
    for (const part of old.querySelectorAll('details')) part.open = part.open || open.has(placeOf(part));
    const same = key && [...old.querySelectorAll('[id], a[href], summary')].find((element) => keyOf(element) === key);
    if (same) same.focus({ preventScroll: true });
    scrollTo(x, y);
  }
};
if (live && window.EventSource) {
  let waiting = null;
  const source = new EventSource('/events');
  const changed = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => exchange().catch(() => {}), 400);
  };
  // After a break the page is read anew: what was said meanwhile may be forgotten by then.
  let broken = false;
  source.addEventListener('error', () => { broken = true; });
  source.addEventListener('open', () => {
    if (broken) changed();
    broken = false;
  });
  for (const kind of ['reset', 'patient.recorded', 'measurement.recorded', 'measurement.retracted', 'episode.enrolled',
    'episode.referred', 'episode.amended', 'episode.discharged', 'standing.changed', 'safety.opened', 'safety.closed',
    'plan.changed', 'contact.recorded', 'case_review.recorded', 'treatment_change.recorded', 'safety_assessment.recorded',
    'delivery.written', 'delivery.parked', 'delivery.closed_in_chart', 'quarantine.added', 'rule_set.activated',
    'review_session.opened', 'review_session.closed']) {
    source.addEventListener(kind, changed);
  }
  addEventListener('pagehide', () => source.close());
}
