// The pages within an EHR's own page, as a clinician has them open there: launched in a frame of another site, over TLS, with a
// cookie that counts only there.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { binary, browser } from './world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'cocm-frame-'));
const closing = [];
let chromium;
/** Where the EHR shows its chart, where somebody else shows a page, where people find the registry. */
let chart;
let stranger;
let registry;

const listening = (server) => new Promise((resolve) => {
  server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  closing.push(() => { server.closeAllConnections(); server.close(); });
});
const body = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
};
const base64 = (value) => Buffer.from(value).toString('base64url');

/** An EHR: its identity provider, and a page with the launch in a frame. `localhost` is another site than `127.0.0.1`. */
const ehr = async (tls) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'ehr', use: 'sig', alg: 'ES256' };
  const codes = new Map();
  let issuer;
  const answer = (response, value) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  // What the registry asks, from server to server.
  const behind = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, issuer);
    if (pathname.endsWith('/smart-configuration')) {
      answer(response, { authorization_endpoint: `${chart}/authorize`, token_endpoint: `${issuer}/token` });
    } else if (pathname === '/jwks') {
      answer(response, { keys: [jwk] });
    } else if (pathname === '/token') {
      const asked = new URLSearchParams((await body(request)).toString());
      const begun = codes.get(asked.get('code'));
      const verified = createHash('sha256').update(asked.get('code_verifier') ?? '').digest('base64url');
      if (begun?.code_challenge !== verified) { response.writeHead(400).end(); return; }
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: issuer, aud: 'cocm-pages', sub: 'kim', name: 'Kim', fhirUser: 'Practitioner/7', nonce: begun.nonce, iat: now, exp: now + 300 };
      const signed = `${base64(JSON.stringify({ alg: 'ES256', kid: 'ehr' }))}.${base64(JSON.stringify(claims))}`;
      const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      answer(response, { access_token: 'none', token_type: 'Bearer', id_token: `${signed}.${base64(signature)}` });
    } else {
      response.writeHead(404).end();
    }
  });
  issuer = `http://127.0.0.1:${await listening(behind)}`;
  // What the browser sees.
  const before = https.createServer(tls, (request, response) => {
    const { pathname, searchParams } = new URL(request.url, chart);
    if (pathname === '/authorize') {
      const code = base64(String(codes.size));
      codes.set(code, Object.fromEntries(searchParams));
      const back = new URL(searchParams.get('redirect_uri'));
      back.search = new URLSearchParams({ code, state: searchParams.get('state') });
      response.writeHead(302, { location: back.href }).end();
    } else {
      const launch = `${registry}/launch?${new URLSearchParams({ iss: `${issuer}/fhir`, launch: 'one' })}`;
      response.writeHead(200, { 'content-type': 'text/html' })
        .end(`<!doctype html><title>Chart</title><iframe name="registry" width="1300" height="800" src="${launch}"></iframe>`);
    }
  });
  chart = `https://localhost:${await listening(before)}`;
  return issuer;
};

/** TLS in front of the registry. */
const proxy = async (tls, port) => {
  const server = https.createServer(tls, async (request, response) => {
    const { method, url: path, headers } = request;
    const sent = http.request({ host: '127.0.0.1', port: port(), method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    sent.on('error', () => response.destroy());
    sent.end(await body(request));
  });
  return `https://127.0.0.1:${await listening(server)}`;
};

const serve = (issuer) => new Promise((resolve, reject) => {
  const data = join(folder, 'data');
  const config = join(folder, 'cocm.toml');
  mkdirSync(data);
  execFileSync(binary, ['token', '--data-dir', data, '--role', 'ehr']);
  writeFileSync(config, `
listen = "127.0.0.1:0"
data_dir = ${JSON.stringify(data)}
public_url = ${JSON.stringify(registry)}
[[auth.issuers]]
issuer = "urn:cocm-registry:development"
jwks_file = ${JSON.stringify(join(data, 'development-keys/jwks.json'))}
audience = "cocm-registry"
[[clinic]]
id = "demo"
name = "Demo clinic"
time_zone = "America/New_York"
[[sign_in]]
name = "Example EHR"
fhir_base = "${issuer}/fhir"
issuer = "${issuer}"
jwks_url = "${issuer}/jwks"
client_id = "cocm-pages"
clinic = "demo"
frame_origins = ["${chart}"]
[sign_in.roles]
"Practitioner/7" = "care_manager"
`);
  const server = spawn(binary, ['serve', '--config', config]);
  let said = '';
  const hear = (chunk) => {
    said += chunk;
    const found = said.match(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    if (found) resolve(Number(found[1]));
  };
  server.stdout.on('data', hear);
  server.stderr.on('data', hear);
  server.on('exit', (code) => reject(new Error(`the service ended with ${code}:\n${said}`)));
  closing.push(() => new Promise((done) => {
    server.removeAllListeners('exit');
    server.on('exit', done);
    server.kill('SIGTERM');
  }));
});

before(async () => {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const tls = { key: readFileSync(key), cert: readFileSync(cert) };
  let port;
  registry = await proxy(tls, () => port);
  port = await serve(await ehr(tls));
  const page = (request, response) => response.writeHead(200, { 'content-type': 'text/html' })
    .end(`<!doctype html><title>Elsewhere</title><iframe name="registry" src="${registry}/caseload"></iframe>`);
  stranger = `https://localhost:${await listening(https.createServer(tls, page))}`;
  chromium = await browser();
}, { timeout: 120000 });
after(async () => {
  await chromium?.close();
  for (const close of closing.reverse()) await close();
  rmSync(folder, { recursive: true, force: true });
});

const tab = async (context) => {
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  return page;
};

test('an EHR shows the pages within its own: launched there, worked in there, and signed in nowhere else', async () => {
  const context = await chromium.running.newContext({ viewport: { width: 1400, height: 900 }, ignoreHTTPSErrors: true });
  const page = await tab(context);
  await page.goto(`${chart}/chart`);
  const frame = page.frameLocator('iframe[name=registry]');
  await frame.getByRole('heading', { name: 'Caseload' }).waitFor();
  // The next page, and a form with its token: the cookie goes along in the frame.
  await frame.getByRole('link', { name: 'Program' }).click();
  await frame.getByRole('heading', { name: 'Program' }).waitFor();
  // A tab of one's own knows nothing of the session in the frame.
  const alone = await tab(context);
  await alone.goto(`${registry}/caseload`);
  await alone.waitForURL('**/sign-in*');
  // Nor does a frame of somebody else's page, which may show nothing of ours.
  const elsewhere = await tab(context);
  await elsewhere.goto(stranger);
  await elsewhere.waitForTimeout(1000);
  const shown = elsewhere.frame('registry');
  assert.match(shown.url(), /^chrome-error:/, 'no page of ours lets itself be framed by a stranger');
  // Signing out is a form: it works within the frame, and ends that session. What comes is shown there as well.
  const [held] = (await context.cookies()).filter((cookie) => cookie.name === '__Host-cocm-framed');
  assert.ok(held.value.length > 40, 'the session of the frame');
  await frame.getByRole('button', { name: 'Sign out' }).click();
  await frame.getByRole('link', { name: 'Example EHR' }).waitFor();
  const [left] = (await context.cookies()).filter((cookie) => cookie.name === '__Host-cocm-framed');
  assert.equal(left.value, 'demo.0~', 'nothing is left but whose frame it is');
  await frame.getByRole('link', { name: 'Example EHR' }).click();
  await frame.getByRole('heading', { name: 'Caseload' }).waitFor();
  await context.close();
}, { timeout: 120000 });
