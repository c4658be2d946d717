// What every page must be for everybody: axe's rules, 400 % zoom, forced colours, dark, print, no scripts.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { browser, demo, faultsOf, signedIn } from './world.mjs';

let served;
let chromium;
let pages;
before(async () => {
  served = await demo();
  chromium = await browser();
  const page = await signedIn(chromium.running, served.base, 'admin');
  const link = (selector) => page.locator(selector).first().getAttribute('href');
  const patient = await link('table.caseload tbody th a');
  const manager = await signedIn(chromium.running, served.base, 'care_manager');
  await manager.goto(`${served.base}/review`);
  await manager.getByRole('button', { name: 'Begin the session' }).click();
  const session = new URL(manager.url()).pathname;
  const review = await manager.locator('a.go').getAttribute('href');
  const episode = review.split('/').pop();
  await manager.goto(`${served.base}${patient}/care-plan`);
  await manager.locator('#care-plan-problems\\.0\\.text').fill('Low mood, and little pleasure in anything.');
  await manager.locator('#care-plan-goals\\.0\\.text').fill('Walk to the lake every day');
  await manager.getByRole('button', { name: 'Save as the next version' }).click();
  await manager.context().close();
  await page.goto(`${served.base}/programme`);
  const behind = await link('table.metrics td a');
  pages = ['/caseload', '/caseload?finding=not_improving&sort=name', patient, `${patient}/care-plan`, '/candidates',
    '/candidates?dismissed=true', '/safety', '/review', `/review?discuss=${episode}`, session, review, `${session}/summary`,
    '/programme', behind, '/month', '/my-patients', '/same-persons', '/import', '/audit', '/hand-over', '/operations', '/operations/rules'];
}, { timeout: 600000 });
after(async () => {
  await chromium?.close();
  await served?.stop();
});

// Pages that are not for a role.
const refused = { admin: ['/hand-over'], care_manager: ['/operations/rules', '/audit'] };

const everyPage = async (options, check, roles = ['admin', 'care_manager']) => {
  const problems = [];
  for (const role of roles) {
    const page = await signedIn(chromium.running, served.base, role, options);
    for (const path of pages) {
      if (refused[role].some((start) => path.startsWith(start))) continue;
      await page.goto(served.base + path);
      for (const problem of await check(page)) problems.push(`${role} ${path}: ${problem}`);
    }
    problems.push(...page.faults);
    await page.context().close();
  }
  assert.deepEqual(problems, []);
};

const unfold = (page) => page.evaluate(() => {
  for (const part of document.querySelectorAll('details')) part.open = true;
});

describe('every page', () => {
  test('has nothing serious or critical for axe, folded and unfolded', () => everyPage({}, async (page) => {
    const folded = await faultsOf(page);
    await unfold(page);
    return [...folded, ...(await faultsOf(page))];
  }));

  test('nor in the dark', () => everyPage({ colorScheme: 'dark' }, faultsOf));

  test('nor in forced colours', () => everyPage({ forcedColors: 'active' }, faultsOf, ['care_manager']));

  test('needs no sideways scrolling at 400 % zoom', () => everyPage(
    { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 },
    async (page) => {
      await unfold(page);
      const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      return wide > room ? [`${wide} wide in ${room}`] : [];
    },
  ));

  test('can be printed', () => everyPage({}, async (page) => {
    await page.emulateMedia({ media: 'print' });
    const problems = [];
    if (await page.locator('.top nav').isVisible()) problems.push('the navigation is printed');
    if (!(await page.locator('h1').isVisible())) problems.push('the heading is not printed');
    // A heading that is missing puts all others above the wrong column.
    const headings = await page.locator('thead th:not(.no-print)').all();
    for (const heading of headings) if (!(await heading.isVisible())) problems.push('a heading of a column is not printed');
    if ((await page.pdf({ preferCSSPageSize: true })).length < 5000) problems.push('nearly nothing is printed');
    await page.emulateMedia({ media: null });
    return problems;
  }, ['care_manager']));

  test('can be read without scripts', () => everyPage({ javaScriptEnabled: false }, async (page) => {
    const text = await page.locator('main').innerText();
    return text.length < 40 ? ['there is nothing to read'] : [];
  }, ['admin']));
});

test('the filters work without scripts, and stay in the address', async () => {
  const page = await signedIn(chromium.running, served.base, 'care_manager', { javaScriptEnabled: false });
  await page.fill('#q', 'a');
  await page.selectOption('#finding', 'at_target');
  await page.click('.filters button');
  assert.match(page.url(), /q=a&.*finding=at_target/);
  const shown = await page.locator('table.caseload tbody tr').count();
  await page.reload();
  assert.equal(await page.locator('table.caseload tbody tr').count(), shown);
});

test('the focus is always seen', async () => {
  const page = await signedIn(chromium.running, served.base, 'care_manager');
  const unseen = [];
  for (let presses = 0; presses < 30; presses += 1) {
    await page.keyboard.press('Tab');
    const [outline, what] = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      return [style.outlineStyle, document.activeElement.outerHTML.slice(0, 100)];
    });
    if (outline === 'none') unseen.push(what);
  }
  assert.deepEqual(unseen, []);
});
