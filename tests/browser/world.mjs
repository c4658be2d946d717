// A demo that serves its pages, and a browser to look at them. Debian's Chromium, driven by Playwright.
import { execFileSync, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const binary = process.env.COCM_BINARY || join(root, 'target/debug/cocm-registry');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Twenty weeks of care for some patients; then it stands at nine o'clock of the same morning in every run. */
export const demo = async (patients = 60) => {
  if (process.env.COCM_PAGES) return { base: process.env.COCM_PAGES, stop: async () => {} };
  if (!existsSync(binary)) throw new Error(`${binary} is not there: run cargo build`);
  const server = spawn(binary, ['demo', '--listen', '127.0.0.1:0', '--patients', String(patients)], { cwd: root });
  let said = '';
  const base = await new Promise((resolve, reject) => {
    const hear = (chunk) => {
      said += chunk;
      const found = said.match(/the pages\s+(http:\/\/[0-9.:]+)\//);
      if (found) resolve(found[1]);
    };
    server.stdout.on('data', hear);
    server.stderr.on('data', hear);
    server.on('exit', (code) => reject(new Error(`the demo ended with ${code}:\n${said}`)));
  });
  const stop = () => new Promise((resolve) => {
    server.removeAllListeners('exit');
    server.on('exit', resolve);
    server.kill('SIGTERM');
  });
  return { base, stop };
};

/** A service on this machine that can be stopped and started again at the same address, with the same data. */
export const service = async () => {
  const data = mkdtempSync(join(tmpdir(), 'cocm-live-'));
  let server;
  let base;
  const start = () => new Promise((resolve, reject) => {
    const listen = base ? base.replace('http://', '') : '127.0.0.1:0';
    server = spawn(binary, ['serve', '--dev', '--listen', listen, '--data-dir', data], { cwd: root });
    let said = '';
    const hear = (chunk) => {
      said += chunk;
      const found = said.match(/http:\/\/(127\.0\.0\.1:\d+)/);
      if (found) resolve(`http://${found[1]}`);
    };
    server.stdout.on('data', hear);
    server.stderr.on('data', hear);
    server.on('exit', (code) => reject(new Error(`the service ended with ${code}:\n${said}`)));
  });
  const halt = () => new Promise((resolve) => {
    server.removeAllListeners('exit');
    server.on('exit', resolve);
    server.kill('SIGTERM');
  });
  base = await start();
  const token = (role) => execFileSync(binary, ['token', '--data-dir', data, '--role', role], { encoding: 'utf8' }).trim();
  const tokens = { ehr: token('ehr'), care_manager: token('care_manager') };
  /** Sends something, as a program would. */
  const send = async (role, path, body) => {
    const headers = { authorization: `Bearer ${tokens[role]}`, 'content-type': path.startsWith('/fhir') ? 'application/fhir+json' : 'application/json' };
    const answer = await fetch(base + path, { method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  };
  const stop = async () => {
    await halt();
    rmSync(data, { recursive: true, force: true });
  };
  return { base, send, halt, start, stop };
};

/** A browser with a profile of its own. */
export const browser = async () => {
  const profile = mkdtempSync(join(tmpdir(), 'cocm-browser-'));
  const running = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', `--disk-cache-dir=${profile}`],
  });
  const close = async () => {
    await running.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { running, close };
};

/** A page of somebody who is signed in; whatever goes wrong in it fails the test. */
export const signedIn = async (running, base, role, options = {}) => {
  const context = await running.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(error.message));
  page.on('console', (message) => {
    const ours = message.type() === 'error' && !message.location().url.endsWith('/events');
    if (ours && !/status of 4\d\d/.test(message.text())) page.faults.push(message.text());
  });
  await page.goto(`${base}/sign-in`);
  await page.click(`form:has(input[value=${role}]) button`);
  await page.waitForURL(/\/(caseload|my-patients)$/);
  return page;
};

/** What axe finds that is serious or worse. Scripts are put in by the debugger: the page's policy stays as it is. */
export const faultsOf = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run(document)).violations);
  return found.filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`);
};

/** Presses Tab until what has the focus is this: the element and its words. */
export const tabTo = async (page, selector, words = '') => {
  for (let presses = 0; presses < 400; presses += 1) {
    await page.keyboard.press('Tab');
    const there = await page.evaluate(([selector, words]) => {
      const element = document.activeElement;
      return element.matches(selector) && element.textContent.includes(words);
    }, [selector, words]);
    if (there) return;
  }
  throw new Error(`the keyboard does not reach ${selector} ${words}`);
};
