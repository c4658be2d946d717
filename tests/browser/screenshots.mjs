// Takes the pictures of the README: node tests/browser/screenshots.mjs
import { fileURLToPath } from 'node:url';
import { browser, demo, signedIn } from './world.mjs';

const served = await demo(120);
const chromium = await browser();
const shoot = async (page, name) => {
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: fileURLToPath(new URL(`pictures/${name}.png`, import.meta.url)) });
};
const page = await signedIn(chromium.running, served.base, 'care_manager');
await shoot(page, 'caseload');
await page.goto(`${served.base}/caseload?finding=not_improving`);
await page.locator('table.caseload tbody th a').nth(1).click();
await shoot(page, 'patient');
const consultant = await signedIn(chromium.running, served.base, 'psychiatric_consultant', { colorScheme: 'dark' });
await consultant.goto(`${served.base}/review`);
await consultant.getByRole('button', { name: 'Begin the session' }).click();
await consultant.locator('a.go').click();
await shoot(consultant, 'review');
await chromium.close();
await served.stop();
