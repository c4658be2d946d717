// A FHIR R4 server out of Medplum's router and its MemoryRepository: `node server.mjs PORT FOLDER`.
//
// The router, the repository, the search and the checks of what is stored are Medplum's. Ours is what a real server has
// around them: HTTP, a journal that survives a kill, `next` links, and rest-hook Subscriptions.
import { createServer } from 'node:http';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  badRequest, getStatus, matchesSearchRequest, normalizeOperationOutcome, OperationOutcomeError, parseSearchRequest,
  validateResource,
} from '@medplum/core';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import { learn } from './definitions.mjs';

const [port, folder] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}/fhir/R4`;
const FHIR = 'application/fhir+json';

class KeptRepository extends MemoryRepository {
  #journal;

  constructor(folder) {
    super();
    mkdirSync(folder, { recursive: true });
    this.#journal = join(folder, 'journal.ndjson');
  }

  async replay() {
    if (!existsSync(this.#journal)) return;
    for (const line of readFileSync(this.#journal, 'utf8').split('\n')) {
      // A kill may leave half a line: its write was never answered.
      if (!line.endsWith('}')) continue;
      const { put, del } = JSON.parse(line);
      if (put) await super.createResource(put);
      else await super.deleteResource(...del).catch(() => {});
    }
  }

  #keep(entry) {
    appendFileSync(this.#journal, `${JSON.stringify(entry)}\n`, { flush: true });
  }

  // updateResource comes through here, too.
  async createResource(resource) {
    validateResource(resource);
    const stored = await super.createResource(resource);
    this.#keep({ put: stored });
    notify(this, stored);
    return stored;
  }

  async deleteResource(type, id) {
    await super.deleteResource(type, id);
    this.#keep({ del: [type, id] });
  }

  async search(request) {
    const sort = request.sortRules?.find((rule) => rule.code === '_lastUpdated');
    if (!sort) return super.search(request);
    // The MemoryRepository does not know this parameter's expression, and would leave the order as it was.
    const all = await super.search({ ...request, sortRules: [], offset: 0, count: undefined });
    const when = (entry) => Date.parse(entry.resource.meta.lastUpdated);
    const entries = (all.entry ?? []).sort((a, b) => (when(a) - when(b)) * (sort.descending ? -1 : 1));
    const offset = request.offset ?? 0;
    const page = entries.slice(offset, offset + (request.count ?? entries.length));
    return { ...all, entry: page.length ? page : undefined };
  }
}

/** R4 rest-hook: the resource is PUT to the endpoint, tried for a while. */
function notify(repository, resource) {
  for (const subscription of repository.subscriptions()) {
    if (subscription.status !== 'active' || subscription.channel?.type !== 'rest-hook') continue;
    if (!matchesSearchRequest(resource, parseSearchRequest(subscription.criteria))) continue;
    const headers = { 'content-type': FHIR };
    for (const header of subscription.channel.header ?? []) {
      const colon = header.indexOf(':');
      headers[header.slice(0, colon)] = header.slice(colon + 1).trim();
    }
    const url = `${subscription.channel.endpoint}/${resource.resourceType}/${resource.id}`;
    const send = async (left) => {
      const done = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(resource) }).then((r) => r.ok, () => false);
      if (!done && left > 0) setTimeout(send, 1000, left - 1);
    };
    send(5);
  }
}

KeptRepository.prototype.subscriptions = function () {
  return [...(this.resources.get('Subscription')?.values() ?? [])];
};

learn();
const repository = new KeptRepository(folder);
await repository.replay();
const router = new FhirRouter();

async function answer(request) {
  const url = new URL(request.url, base);
  const parts = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString('utf8');
  if (!url.pathname.startsWith('/fhir/R4')) return [404, normalizeOperationOutcome('not here')];
  const path = url.pathname.slice('/fhir/R4'.length) || '/';
  if (path === '/metadata') return [200, statement()];
  let body;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    throw new OperationOutcomeError(badRequest('not JSON'));
  }
  const [outcome, resource] = await router.handleRequest(
    {
      method: request.method, url: path + url.search, pathname: '', body, params: {}, query: {}, headers: request.headers,
      config: { transactions: true },
    },
    repository,
  );
  if (resource?.type === 'searchset') paged(resource, url);
  return [getStatus(outcome), resource ?? outcome];
}

/** The MemoryRepository cuts a page and does not say that there is more. */
function paged(bundle, url) {
  const after = Number(url.searchParams.get('_offset') ?? 0) + (bundle.entry?.length ?? 0);
  if (!bundle.entry || after >= bundle.total) return;
  const next = new URL(url);
  next.searchParams.set('_offset', String(after));
  bundle.link = [{ relation: 'next', url: next.href }];
}

/** The router leaves this to Medplum's server. */
function statement() {
  const interaction = ['read', 'create', 'update', 'delete', 'search-type'].map((code) => ({ code }));
  const types = ['Patient', 'QuestionnaireResponse', 'Observation', 'Task', 'Flag', 'Subscription'];
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1',
    format: ['json'], software: { name: '@medplum/fhir-router' }, implementation: { description: 'a peer', url: base },
    rest: [{
      mode: 'server', interaction: [{ code: 'transaction' }, { code: 'batch' }],
      resource: types.map((type) => ({ type, interaction, versioning: 'versioned', conditionalCreate: true, conditionalUpdate: true })),
    }],
  };
}

const server = createServer(async (request, response) => {
  let status;
  let body;
  try {
    [status, body] = await answer(request);
  } catch (error) {
    body = normalizeOperationOutcome(error);
    status = getStatus(body);
  }
  const headers = { 'content-type': FHIR };
  if (body?.meta?.versionId) {
    headers.etag = `W/"${body.meta.versionId}"`;
    headers['last-modified'] = new Date(body.meta.lastUpdated).toUTCString();
    if (status === 201) headers.location = `${base}/${body.resourceType}/${body.id}/_history/${body.meta.versionId}`;
  }
  response.writeHead(status, headers);
  response.end(status === 304 ? undefined : JSON.stringify(body));
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${base}`));
