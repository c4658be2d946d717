// A page that stands open: what happens elsewhere appears in it, and whoever reads it keeps their place.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, service, signedIn } from './world.mjs';

const MANY = 60;
let served;
let chromium;
const people = [];
const today = new Date().toISOString().slice(0, 10);
const ago = (days) => new Date(Date.now() - days * 86400000).toISOString().slice(0, 10);

/** A PHQ-9 of so many points arrives. */
const arrives = (patient, total, day = today) => served.send('care_manager', `/api/v1/patients/${patient}/measurements`,
  { instrument: 'phq9', taken_at: `${day}T00:30:00Z`, total });

before(async () => {
  served = await service();
  chromium = await browser();
  for (let n = 0; n < MANY; n += 1) {
    const family = `Family${String(n).padStart(2, '0')}`;
    await served.send('ehr', '/fhir/Patient', { resourceType: 'Patient', id: `p${n}`, name: [{ family, given: ['Given'] }] });
    const episode = await served.send('care_manager', '/api/v1/episodes', {
      patient: { reference: `Patient/p${n}` }, enrolled_on: ago(30), care_manager: 'Kim',
    });
    people.push(episode.patient.id);
    await arrives(episode.patient.id, 18, ago(30));
  }
}, { timeout: 600000 });
after(async () => {
  await chromium?.close();
  await served?.stop();
});

test('a form arrives: its row changes, and neither the place nor the keyboard is lost', async () => {
  const page = await signedIn(chromium.running, served.base, 'care_manager');
  await page.goto(`${served.base}/caseload?sort=name`);
  const row = page.locator('table.caseload tbody tr', { has: page.locator(`a[href="/patients/${people[30]}"]`) });
  const link = page.locator(`a[href="/patients/${people[31]}"]`);
  await link.focus();
  await page.evaluate(() => scrollBy(0, 37));
  const scrolled = await page.evaluate(() => scrollY);
  assert.ok(scrolled > 200, 'the page is long');
  assert.doesNotMatch(await row.innerText(), /→\s*4\b/);
  await arrives(people[30], 4);
  await page.waitForFunction((href) => /→\s*(to\s*)?4\b/.test(document.querySelector(`a[href="${href}"]`).closest('tr').textContent), `/patients/${people[30]}`);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), `/patients/${people[31]}`);
  assert.equal(await page.evaluate(() => scrollY), scrolled);
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('what was unfolded stays unfolded, what was typed stays typed', async () => {
  const page = await signedIn(chromium.running, served.base, 'care_manager');
  const one = people[10];
  await page.goto(`${served.base}/patients/${one}`);
  await page.locator('#enter-hold summary').click();
  await page.locator('.said li', { hasText: 'contact' }).locator('summary').click();
  const open = await page.locator('details[open]').count();
  await page.locator('#enter-hold summary').focus();
  await arrives(one, 13);
  await page.waitForFunction(() => document.querySelectorAll('.scores tbody tr').length === 2);
  assert.ok(await page.locator('#enter-hold').evaluate((part) => part.open), 'the form stands open');
  assert.equal(await page.locator('details[open]').count(), open);
  assert.equal(await page.evaluate(() => document.activeElement.parentElement.id), 'enter-hold', 'the keyboard is where it was');
  // Somebody types: nothing is taken from under their hands, and the safety strip appears all the same.
  await page.locator('#hold-reason').fill('Travelling until');
  await served.send('care_manager', `/api/v1/patients/${people[11]}/measurements`,
    { instrument: 'phq9', taken_at: new Date(Date.now() - 60000).toISOString(), answers: [1, 1, 1, 1, 1, 1, 1, 1, 1] });
  await page.waitForFunction(() => /not assessed/.test(document.querySelector('#safety-strip .head')?.textContent || ''));
  assert.equal(await page.locator('#hold-reason').inputValue(), 'Travelling until');
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('after the service was away the page finds back by itself, and shows what happened meanwhile', { timeout: 120000 }, async () => {
  const page = await signedIn(chromium.running, served.base, 'care_manager');
  await page.goto(`${served.base}/caseload?sort=name`);
  await served.halt();
  await page.waitForTimeout(1000);
  await served.start();
  await arrives(people[40], 3);
  const shown = (total) => page.waitForFunction(([href, total]) => new RegExp(`→\\s*(to\\s*)?${total}\\b`)
    .test(document.querySelector(`a[href="${href}"]`).closest('tr').textContent), [`/patients/${people[40]}`, total], { timeout: 60000 });
  await shown(3);
  // And it goes on listening.
  await arrives(people[40], 5);
  await shown(5);
  await page.context().close();
});
