import { browser, demo, signedIn } from './world.mjs';
import { mkdirSync } from 'node:fs';
mkdirSync('/tmp/shots', { recursive: true });
const served = await demo(40);
console.log(served.base);
const c = await browser();
const cm = await signedIn(c.running, served.base, 'care_manager', { viewport: { width: 1280, height: 900 } });
await cm.goto(`${served.base}/review`);
await cm.screenshot({ path: '/tmp/shots/review-sessions.png', fullPage: true });
await cm.getByRole('button', { name: 'Begin the session' }).click();
const session = new URL(cm.url()).pathname;
const go = await cm.locator('a.go').getAttribute('href');
await cm.goto(`${served.base}/caseload?finding=not_improving`);
const patient = await cm.locator('table.caseload tbody th a').first().getAttribute('href');
await cm.goto(`${served.base}${patient}/care-plan`);
const fill = (n, v) => cm.locator(`[name="${n}"]`).fill(v);
await fill('problems.0.text', 'Low mood, little pleasure, poor sleep');
await fill('goals.0.text', 'Walk to the lake with my daughter'); await fill('goals.0.by', '2026-07-01');
await cm.locator('[name="targets.0.instrument"]').selectOption('phq9'); await fill('targets.0.at_most', '4');
await fill('interventions.0.intervention', 'behavioural activation'); await fill('interventions.0.detail', 'weekly, by phone'); await fill('interventions.0.who', 'care manager');
await fill('medication.0.name', 'Sertraline'); await fill('medication.0.dose', '100 mg in the morning');
await fill('responsibilities.0.who', 'PCP'); await fill('responsibilities.0.what', 'prescribes and checks sodium');
await cm.getByRole('button', { name: 'Save as the next version' }).click();
await cm.goto(`${served.base}${go}`);
await cm.locator('#review-kind1').selectOption('medication');
await cm.locator('#review-text1').fill('Sertraline 100 mg, reassess in four weeks.');
await cm.getByRole('button', { name: 'Save, next patient' }).click();
const pages = { caseload: '/caseload', patient, careplan: `${patient}/care-plan`, doc: `${patient}/care-plan/document`, candidates: '/candidates', session, case: go, summary: `${session}/summary`, programme: '/programme', operations: '/operations', review: '/review', safety: '/safety' };
for (const [name, options] of Object.entries({ light: {}, dark: { colorScheme: 'dark' }, narrow: { viewport: { width: 390, height: 844 } } })) {
  const p = await signedIn(c.running, served.base, 'care_manager', { viewport: { width: 1280, height: 900 }, ...options });
  for (const [n, path] of Object.entries(pages)) {
    if (name === 'dark' && !['careplan', 'session', 'case'].includes(n)) continue;
    if (name === 'narrow' && ['doc', 'programme'].includes(n)) continue;
    await p.goto(served.base + path);
    await p.screenshot({ path: `/tmp/shots/${n}-${name}.png`, fullPage: !['caseload'].includes(n) && name !== 'x' });
  }
  if (name === 'light') {
    await p.goto(`${served.base}${patient}`);
    await p.evaluate(() => document.querySelectorAll('details.enter').forEach((d) => { d.open = true; }));
    await p.screenshot({ path: '/tmp/shots/patient-forms.png', fullPage: true });
    await p.goto(`${served.base}${patient}/care-plan`);
    await p.locator('#enter-care-plan summary').click();
    await p.screenshot({ path: '/tmp/shots/careplan-form.png', fullPage: true });
    for (const n of ['careplan', 'summary', 'session']) {
      await p.goto(served.base + pages[n]);
      await p.emulateMedia({ media: 'print' });
      await p.screenshot({ path: `/tmp/shots/${n}-print.png`, fullPage: true });
      await p.emulateMedia({ media: null });
    }
    await p.goto(`${served.base}/candidates`);
    const a = await p.locator('td.decide a').first().getAttribute('href').catch(() => null);
    if (a) { await p.goto(served.base + a); await p.screenshot({ path: '/tmp/shots/enrol.png', fullPage: false }); }
  }
}
await c.close(); await served.stop();
