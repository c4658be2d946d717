// A dashboard in TypeScript: types from the OpenAPI document, against a running demo (REGISTRY_URL, REGISTRY_TOKEN).
import assert from 'node:assert/strict';
import createClient from 'openapi-fetch';
import type { paths } from './generated/api.js';

const { REGISTRY_URL: baseUrl, REGISTRY_TOKEN: token } = process.env;
const registry = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });

/** Walks through every page of a list, two rows at a time. */
async function all<T>(page: (cursor?: string) => Promise<{ items: T[]; next?: string | null } | undefined>): Promise<T[]> {
  const rows: T[] = [];
  let cursor: string | undefined;
  do {
    const found = await page(cursor);
    assert.ok(found);
    rows.push(...found.items);
    cursor = found.next ?? undefined;
  } while (cursor);
  return rows;
}

const caseload = await all(async (cursor) =>
  (await registry.GET('/api/v1/caseload', { params: { query: { limit: 2, cursor } } })).data);
assert.ok(caseload.length > 4, `${caseload.length} episodes`);
assert.equal(new Set(caseload.map((row) => row.episode)).size, caseload.length);
assert.ok(caseload.every((row) => row.measures.every((measure) => typeof measure.status === 'string')));

const concerns = await all(async (cursor) =>
  (await registry.GET('/api/v1/safety-concerns', { params: { query: { limit: 2, cursor } } })).data);
assert.ok(concerns.length > 0);

const deliveries = await all(async (cursor) =>
  (await registry.GET('/api/v1/deliveries', { params: { query: { limit: 50, cursor } } })).data);
assert.ok(deliveries.length >= concerns.length);

const metrics = await registry.GET('/api/v1/metrics/nys', { params: { query: { month: '2026-03' } } });
assert.equal(metrics.data?.metrics.length, 11);

const refused = await registry.GET('/api/v1/episodes/{id}', { params: { path: { id: '00000000-0000-0000-0000-000000000000' } } });
assert.equal(refused.error?.status, 404);
console.log(`TypeScript: ${caseload.length} episodes, ${concerns.length} safety concerns, ${deliveries.length} deliveries`);
