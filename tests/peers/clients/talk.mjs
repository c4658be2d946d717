#!/usr/bin/env node
// fhir-kit-client and @medplum/core talk to our FHIR door: REGISTRY_URL and REGISTRY_TOKEN say where.
import assert from 'node:assert/strict';
import { Client } from 'fhir-kit-client';
import { MedplumClient } from '@medplum/core';

const { REGISTRY_URL: registry, REGISTRY_TOKEN: token } = process.env;
const MRN = 'https://clinic.example/mrn';
const patient = (value) => ({ resourceType: 'Patient', identifier: [{ system: MRN, value }], name: [{ family: 'Kit' }] });
const coding = { valueCoding: { system: 'http://loinc.org', code: 'LA6569-3' } };
const PHQ9 = ['44250-9', '44255-8', '44259-0', '44254-1', '44251-7', '44258-2', '44252-5', '44253-3', '44260-8'];
const form = (id, subject) => ({
  resourceType: 'QuestionnaireResponse', ...(id && { id }), status: 'completed', questionnaire: 'http://loinc.org/q/44249-1',
  subject: { reference: subject }, authored: '2026-01-05T10:00:00Z',
  item: PHQ9.map((code) => ({ linkId: `/${code}`, answer: [coding] })),
});
let passed = 0;
async function says(what, check) {
  try {
    await check();
  } catch (error) {
    throw new Error(`${what}: ${error.message}`, { cause: error });
  }
  passed += 1;
  console.log(`  ok: ${what}`);
}

// ── fhir-kit-client ───────────────────────────────────────────────────────────────────────────────────────────────
const kit = new Client({ baseUrl: `${registry}/fhir`, bearerToken: token });
const status = (resource) => Client.httpFor(resource).response.status;
const header = (resource, name) => Client.httpFor(resource).response.headers.get(name);
const refused = async (promise) => promise.then(() => assert.fail('was not refused'), (error) => error.response);

await says('fhir-kit-client reads the CapabilityStatement', async () => {
  const said = await kit.capabilityStatement();
  assert.equal(said.fhirVersion, '4.0.1');
});
let stored;
await says('fhir-kit-client creates, and reads what it created', async () => {
  stored = await kit.create({ resourceType: 'Patient', body: patient('K1') });
  assert.equal(status(stored), 201);
  assert.match(header(stored, 'location'), new RegExp(`/fhir/Patient/${stored.id}/_history/1$`));
  const read = await kit.read({ resourceType: 'Patient', id: stored.id });
  assert.deepEqual(read.identifier, stored.identifier);
  assert.equal(header(read, 'etag'), 'W/"1"');
});
await says('fhir-kit-client creates conditionally: once', async () => {
  const options = { headers: { 'If-None-Exist': `identifier=${encodeURIComponent(`${MRN}|K2`)}` } };
  const first = await kit.create({ resourceType: 'Patient', body: patient('K2'), options });
  const second = await kit.create({ resourceType: 'Patient', body: patient('K2'), options });
  assert.deepEqual([status(first), status(second)], [201, 200]);
  assert.equal(first.id, second.id);
});
await says('fhir-kit-client updates with If-Match, and an old version is refused with 412', async () => {
  const body = { ...stored, birthDate: '1980-02-03' };
  const options = { headers: { 'If-Match': 'W/"1"' } };
  const updated = await kit.update({ resourceType: 'Patient', id: stored.id, body, options });
  assert.deepEqual([status(updated), header(updated, 'etag')], [200, 'W/"2"']);
  const answer = await refused(kit.update({ resourceType: 'Patient', id: stored.id, body: { ...body, gender: 'other' }, options }));
  assert.equal(answer.status, 412);
  assert.equal(answer.data.resourceType, 'OperationOutcome');
});
await says('fhir-kit-client updates conditionally by identifier', async () => {
  const body = { ...patient('K2'), gender: 'female' };
  const updated = await kit.update({ resourceType: 'Patient', searchParams: { identifier: `${MRN}|K2` }, body });
  assert.equal(updated.gender, 'female');
});
await says('fhir-kit-client searches, and follows the pages', async () => {
  let page = await kit.search({ resourceType: 'Patient', searchParams: { _count: 1 } });
  const seen = [];
  while (page) {
    seen.push(...(page.entry ?? []).map((entry) => entry.resource.id));
    page = page.link.some((link) => link.relation === 'next') ? await kit.nextPage({ bundle: page }) : undefined;
  }
  assert.equal(new Set(seen).size, 2);
  const found = await kit.search({ resourceType: 'Patient', searchParams: { identifier: `${MRN}|K1` } });
  assert.equal(found.entry[0].resource.id, stored.id);
});
await says('fhir-kit-client sends a batch; one bad entry does not spoil the others', async () => {
  const answer = await kit.batch({ body: { resourceType: 'Bundle', type: 'batch', entry: [
    { resource: form('kit-form', `Patient/${stored.id}`), request: { method: 'PUT', url: 'QuestionnaireResponse/kit-form' } },
    { request: { method: 'GET', url: 'Patient/absent' } },
    { request: { method: 'GET', url: `Patient/${stored.id}` } },
  ] } });
  assert.equal(answer.type, 'batch-response');
  assert.deepEqual(answer.entry.map((entry) => entry.response.status.slice(0, 3)), ['201', '404', '200']);
});
await says('fhir-kit-client sends a transaction: all or nothing', async () => {
  const entry = (id, resource) => ({ resource, request: { method: 'PUT', url: `Patient/${id}` } });
  const good = { resourceType: 'Patient', id: 'kit-t1' };
  const bundle = (entries) => ({ body: { resourceType: 'Bundle', type: 'transaction', entry: entries } });
  const answer = await refused(kit.transaction(bundle([entry('kit-t1', good), entry('kit-t2', { resourceType: 'Patient', id: 'other' })])));
  assert.equal(answer.status, 400);
  assert.equal((await refused(kit.read({ resourceType: 'Patient', id: 'kit-t1' }))).status, 404);
  const done = await kit.transaction(bundle([entry('kit-t1', good)]));
  assert.equal(done.type, 'transaction-response');
});
await says('fhir-kit-client deletes, and reads 410 afterwards', async () => {
  await kit.delete({ resourceType: 'Patient', id: 'kit-t1' });
  assert.equal((await refused(kit.read({ resourceType: 'Patient', id: 'kit-t1' }))).status, 410);
});
await says('fhir-kit-client is told of an error by an OperationOutcome with its place', async () => {
  const answer = await refused(kit.update({ resourceType: 'Patient', id: 'a', body: { resourceType: 'Patient', id: 'b' } }));
  assert.equal(answer.status, 400);
  assert.deepEqual(answer.data.issue[0].expression, ['Patient.id']);
});

// ── @medplum/core ─────────────────────────────────────────────────────────────────────────────────────────────────
const medplum = new MedplumClient({ baseUrl: `${registry}/`, fhirUrlPath: 'fhir', fetch, accessToken: token, cacheTime: 0 });

await says('@medplum/core creates, reads, updates, searches and deletes', async () => {
  const created = await medplum.createResource(patient('M1'));
  const read = await medplum.readResource('Patient', created.id);
  assert.deepEqual(read.identifier, created.identifier);
  const updated = await medplum.updateResource({ ...read, gender: 'other' });
  assert.equal(updated.gender, 'other');
  const found = await medplum.searchResources('Patient', { identifier: `${MRN}|M1` });
  assert.deepEqual(found.map((one) => one.id), [created.id]);
  await medplum.deleteResource('Patient', created.id);
  await assert.rejects(medplum.readResource('Patient', created.id, { cache: 'reload' }), /deleted|gone/i);
});
await says('@medplum/core creates where there is none, once', async () => {
  const query = `identifier=${MRN}|M2`;
  const first = await medplum.createResourceIfNoneExist(patient('M2'), query);
  const second = await medplum.createResourceIfNoneExist(patient('M2'), query);
  assert.equal(first.id, second.id);
});
await says('@medplum/core upserts by identifier', async () => {
  const one = await medplum.upsertResource({ ...patient('M2'), gender: 'male' }, { identifier: `${MRN}|M2` });
  assert.equal(one.gender, 'male');
});
await says('@medplum/core sends a batch and understands each answer', async () => {
  const answer = await medplum.executeBatch({ resourceType: 'Bundle', type: 'batch', entry: [
    { resource: form('medplum-form', `Patient/${stored.id}`), request: { method: 'PUT', url: 'QuestionnaireResponse/medplum-form' } },
    { request: { method: 'GET', url: 'QuestionnaireResponse/medplum-form' } },
  ] });
  assert.deepEqual(answer.entry.map((entry) => entry.response.status.slice(0, 3)), ['201', '200']);
  assert.equal(answer.entry[1].resource.id, 'medplum-form');
});
console.log(`${passed} passed, 0 failed`);
