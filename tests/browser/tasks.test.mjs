// What a care team does in a day, with a mouse and by keyboard alone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { browser, demo, signedIn, tabTo } from './world.mjs';

let served;
let chromium;
before(async () => {
  served = await demo();
  chromium = await browser();
}, { timeout: 600000 });
after(async () => {
  await chromium?.close();
  await served?.stop();
});

const as = (role) => signedIn(chromium.running, served.base, role);
const heading = (page) => page.locator('h1').innerText();
const done = (page) => page.locator('.done').first().innerText();

/** Counts clicks: what a task costs a hand. */
const hand = () => {
  let clicks = 0;
  const click = async (locator) => {
    clicks += 1;
    await locator.click();
  };
  const choose = async (locator, value) => {
    clicks += 1;
    await locator.selectOption(value);
  };
  return { click, choose, clicks: () => clicks };
};

describe('with a mouse', () => {
  test('the patients who are not improving are found, and one is opened', async () => {
    const page = await as('care_manager');
    await page.getByRole('link', { name: /Not improving/ }).click();
    await page.waitForURL(/finding=not_improving/);
    const rows = page.locator('table.caseload tbody tr');
    const chip = await page.locator('.chips a[aria-current] .n').innerText();
    assert.equal(await rows.count(), Number(chip));
    assert.ok(Number(chip) > 0);
    const name = await rows.first().locator('th a').innerText();
    await rows.first().locator('th a').click();
    assert.equal(await heading(page), name);
    assert.ok(await page.locator('.said li').count() > 0, 'it says why');
    // Every point of the chart tells its answers.
    await page.locator('.panel').first().locator('.pt').first().focus();
    assert.match(await page.locator('.reading').innerText(), /Trouble with sleep: \d/);
    assert.deepEqual(page.faults, []);
  });

  test('a contact is logged', async () => {
    const page = await as('care_manager');
    const { click, clicks } = hand();
    await click(page.locator('table.caseload tbody th a').nth(5));
    await click(page.getByText('Log a contact'));
    await page.locator('#contacts-minutes').fill('20');
    await page.locator('#contacts-note').fill('Talked about sleep.');
    await click(page.getByRole('button', { name: 'Log the contact' }));
    assert.ok(clicks() <= 3, `${clicks()} clicks`);
    assert.match(await done(page), /The contact was logged/);
    assert.match(await page.locator('.timeline').innerText(), /Talked about sleep/);
    await page.getByRole('button', { name: 'Undo' }).click();
    assert.match(await done(page), /taken back/);
    assert.deepEqual(page.faults, []);
  });

  test('three patients are reviewed', async () => {
    const page = await as('psychiatric_consultant');
    await page.goto(`${served.base}/review`);
    await page.getByRole('button', { name: 'Begin the session' }).click();
    await page.locator('a.go').click();
    const seen = new Set();
    for (let n = 0; n < 3; n += 1) {
      seen.add(await heading(page));
      await page.getByLabel('Summary optional').fill('Reviewed with the care manager.');
      await page.locator('#review-kind1').selectOption('medication');
      await page.locator('#review-text1').fill('Sertraline 100 mg.');
      await page.getByRole('button', { name: 'Save, next patient' }).click();
      assert.match(await done(page), /was saved/);
    }
    assert.equal(seen.size, 3);
    await page.getByRole('link', { name: 'summary' }).click();
    await page.waitForURL(/summary/);
    assert.equal(await page.locator('table tbody tr').count(), 3);
    // One was a mistake: undone, it waits again.
    await page.getByRole('link', { name: 'Agenda' }).click();
    assert.match(await page.locator('.head .aside').innerText(), /3 reviewed/);
    await page.getByRole('button', { name: /Undo the review/ }).first().click();
    await page.waitForFunction(() => /2 reviewed/.test(document.querySelector('.head .aside').innerText));
    assert.deepEqual(page.faults, []);
  });

  test('a doctor accepts a recommendation', async () => {
    const page = await as('primary_care');
    const { click, clicks } = hand();
    assert.match(await heading(page), /^Patients of/, 'the own patients come first');
    const waiting = page.locator('.decisions > li');
    const before = await page.getByRole('button', { name: /^Accept/ }).count();
    assert.ok(before > 0 && (await waiting.count()) >= before);
    await click(page.getByRole('button', { name: /^Accept/ }).first());
    assert.match(await done(page), /The decision was recorded/);
    assert.equal(await page.getByRole('button', { name: /^Accept/ }).count(), before - 1);
    assert.ok(clicks() <= 2, `${clicks()} clicks`);
    assert.deepEqual(page.faults, []);
  });

  test('the minutes of the month are exported', async () => {
    const page = await as('care_manager');
    const { click, clicks } = hand();
    await click(page.getByRole('link', { name: 'Month', exact: true }));
    const download = page.waitForEvent('download');
    await click(page.getByRole('link', { name: 'CSV' }));
    assert.match((await download).suggestedFilename(), /^minutes-\d{4}-\d{2}\.csv$/);
    assert.ok(clicks() <= 3, `${clicks()} clicks`);
    assert.deepEqual(page.faults, []);
  });

  test('a safety answer is assessed', async () => {
    const page = await as('care_manager');
    const waiting = Number.parseInt(await page.locator('#safety-strip .head').innerText().then((t) => t.replace(/\D+/g, '')), 10);
    await page.goto(`${served.base}/safety`);
    await page.locator('table th a').first().click();
    await page.locator('#safety-assessment-instrument').fill('C-SSRS screener');
    await page.locator('#safety-assessment-risk').selectOption('low');
    await page.locator('#safety-assessment-result').fill('Passive thoughts, no plan, no intent.');
    await page.locator('#safety-assessment-disposition').fill('Safety plan reviewed; the PCP knows.');
    await page.locator('#safety-assessment button').click();
    assert.match(await done(page), /safety assessment was recorded/);
    const strip = await page.locator('#safety-strip').innerText();
    assert.match(strip, waiting === 1 ? /No unassessed/ : new RegExp(`${waiting - 1} not assessed`));
    assert.deepEqual(page.faults, []);
  });

  test('a failed delivery is sent again', async () => {
    const page = await as('admin');
    await page.getByRole('link', { name: 'Operations' }).click();
    const before = await page.locator('#failed').innerText();
    await page.getByRole('button', { name: /Send again/ }).first().click();
    assert.match(await done(page), /being sent again/);
    await page.waitForTimeout(2000);
    await page.goto(`${served.base}/operations`);
    assert.notEqual(await page.locator('#failed').innerText(), before);
    assert.deepEqual(page.faults, []);
  });
});

describe('by keyboard alone', () => {
  test('the patients who are not improving are found, and one is opened', async () => {
    const page = await as('care_manager');
    await tabTo(page, 'a.skip');
    await page.keyboard.press('Enter');
    await tabTo(page, '.chips a', 'Not improving');
    await page.keyboard.press('Enter');
    await page.waitForURL(/not_improving/);
    await tabTo(page, 'table.caseload tbody th a');
    await page.keyboard.press('Enter');
    await page.waitForURL(/patients/);
    await tabTo(page, 'a.pt');
    await page.keyboard.press('Enter');
    const focused = () => page.evaluate(() => document.activeElement.tagName);
    assert.equal(await focused(), 'TR', 'a point leads to its row in the table of scores');
  });

  test('a contact is logged', async () => {
    const page = await as('care_manager');
    await tabTo(page, 'table.caseload tbody th a');
    await page.keyboard.press('Enter');
    await page.waitForURL(/patients/);
    await tabTo(page, 'summary', 'Log a contact');
    await page.keyboard.press('Enter');
    await tabTo(page, '#contacts-minutes');
    await page.keyboard.type('soon');
    await tabTo(page, '#contacts button');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#contacts-minutes-problem');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'contacts-minutes', 'the keyboard is at the problem');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('15');
    await tabTo(page, '#contacts button');
    await page.keyboard.press('Enter');
    assert.match(await done(page), /The contact was logged/);
  });

  test('three patients are reviewed', async () => {
    const page = await as('psychiatric_consultant');
    await tabTo(page, '.top nav a', 'Review');
    await page.keyboard.press('Enter');
    await page.waitForURL(/review/);
    await tabTo(page, '#session button');
    await page.keyboard.press('Enter');
    await page.waitForURL(/review\/./);
    await tabTo(page, 'a.go');
    await page.keyboard.press('Enter');
    await page.waitForURL(/review\/.*\/./);
    const first = await heading(page);
    for (const [on, back] of [['ArrowRight', 'ArrowLeft'], ['j', 'k']]) {
      await page.keyboard.press(on);
      await page.waitForFunction((name) => document.querySelector('h1').innerText !== name, first);
      await page.keyboard.press(back);
      await page.waitForFunction((name) => document.querySelector('h1').innerText === name, first);
    }
    // Within a field a letter is a letter; and letters can be turned off.
    await tabTo(page, '#review-summary');
    await page.keyboard.type('jk');
    assert.equal(await page.locator('#review-summary').inputValue(), 'jk');
    assert.equal(await heading(page), first);
    await page.locator('#review-summary').fill('');
    await page.reload();
    await tabTo(page, '#letter-keys');
    await page.keyboard.press('Enter');
    await page.keyboard.press('j');
    await page.waitForTimeout(300);
    assert.equal(await heading(page), first);
    await page.keyboard.press('Enter');
    for (let n = 0; n < 3; n += 1) {
      const name = await heading(page);
      await tabTo(page, '#review-kind1');
      await page.keyboard.type('Cont');
      await tabTo(page, '#review button');
      await page.keyboard.press('Enter');
      await page.waitForFunction((name) => document.querySelector('h1').innerText !== name, name);
    }
  });

  test('a safety answer is assessed', async () => {
    const page = await as('primary_care');
    await tabTo(page, '#safety-strip .head a');
    await page.keyboard.press('Enter');
    await page.waitForURL(/safety/);
    await tabTo(page, 'table th a');
    await page.keyboard.press('Enter');
    await page.waitForURL(/form=safety/);
    await tabTo(page, '#safety-assessment-instrument');
    await page.keyboard.type('C-SSRS screener');
    await tabTo(page, '#safety-assessment-result');
    await page.keyboard.type('No plan, no intent.');
    await tabTo(page, '#safety-assessment-disposition');
    await page.keyboard.type('Safety plan reviewed.');
    await tabTo(page, '#safety-assessment button');
    await page.keyboard.press('Enter');
    assert.match(await done(page), /safety assessment was recorded/);
  });

  test('a failed delivery is sent again', async () => {
    const page = await as('admin');
    await tabTo(page, '.top nav a', 'Operations');
    await page.keyboard.press('Enter');
    await page.waitForURL(/operations/);
    await tabTo(page, 'button', 'Send again');
    await page.keyboard.press('Enter');
    assert.match(await done(page), /being sent again/);
  });
});

// The last one: it changes whose every Task of these patients is.
test('a caseload is handed over', async () => {
  const page = await as('care_manager');
  const { click, choose, clicks } = hand();
  await click(page.getByRole('link', { name: 'Hand over' }));
  const from = await page.locator('#from option').nth(1).getAttribute('value');
  await choose(page.locator('#from'), from);
  await click(page.getByRole('button', { name: 'Show' }));
  const patients = await page.locator('input[name=episode]').count();
  assert.ok(patients > 10);
  await page.locator('#to').fill('N. Park, RN');
  await page.locator('#reason').fill('On leave.');
  await click(page.getByRole('button', { name: 'Preview' }));
  assert.equal(await page.locator('table tbody tr').count(), patients);
  await click(page.getByRole('button', { name: `Hand over ${patients} patients` }));
  assert.match(await done(page), new RegExp(`${patients} patients were handed over to N. Park, RN`));
  assert.ok(clicks() <= 6, `${clicks()} clicks`);
  assert.deepEqual(page.faults, []);
});
