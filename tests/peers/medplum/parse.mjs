#!/usr/bin/env node
// Lets @medplum/core check resources against R4's definitions, one a line: `parse.mjs FILE`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { validateResource } from '@medplum/core';
import { learn } from './definitions.mjs';

learn();
// A check that finds nothing here would find nothing anywhere.
const broken = { resourceType: 'Task', status: 'requested', intent: 'order', urgency: 'high' };
assert.throws(() => validateResource(broken), /urgency/);
const lines = readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean);
const kinds = {};
let faults = 0;
for (const [i, line] of lines.entries()) {
  const resource = JSON.parse(line);
  kinds[resource.resourceType] = (kinds[resource.resourceType] ?? 0) + 1;
  try {
    for (const issue of validateResource(resource)) console.log(`note, line ${i + 1}: ${JSON.stringify(issue)}`);
  } catch (error) {
    faults += 1;
    console.log(`ERROR line ${i + 1}: ${resource.resourceType}: ${JSON.stringify(error.outcome?.issue ?? error.message)}`);
  }
}
console.log(`${lines.length} resources ${JSON.stringify(kinds)}: ${faults} refused by @medplum/core`);
process.exit(faults || !lines.length ? 1 : 0);
