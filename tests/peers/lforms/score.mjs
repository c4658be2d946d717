#!/usr/bin/env node
// LHC-Forms fills in PHQ-9 and GAD-7 forms, and our door scores what it exports: REGISTRY_URL, REGISTRY_TOKEN and
// CARE_MANAGER_TOKEN say where.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { JSDOM, VirtualConsole } from 'jsdom';

const LOINC = 'http://loinc.org';
const ORDINAL = 'http://hl7.org/fhir/StructureDefinition/ordinalValue';
const SDC = 'http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression';
const ANSWERS = [['LA6568-5', 'Not at all'], ['LA6569-3', 'Several days'], ['LA6570-1', 'More than half the days'],
  ['LA6571-9', 'Nearly every day']];
const DIFFICULTY = [['LA6572-7', 'Not difficult at all'], ['LA6573-5', 'Somewhat difficult'], ['LA6574-3', 'Very difficult'],
  ['LA6575-0', 'Extremely difficult']];
const FORMS = {
  phq9: { panel: '44249-1', total: '44261-6', difficulty: '69722-7', items: ['44250-9', '44255-8', '44259-0', '44254-1',
    '44251-7', '44258-2', '44252-5', '44253-3', '44260-8'] },
  gad7: { panel: '69737-5', total: '70274-6', items: ['69725-0', '68509-9', '69733-4', '69734-2', '69735-9', '69689-8',
    '69736-7'] },
};

/** LHC-Forms as a browser would load it. */
function lhcForms() {
  const home = join(dirname(createRequire(import.meta.url).resolve('lforms/package.json')), 'dist/lforms');
  const { window } = new JSDOM('<!doctype html><html><body></body></html>', {
    runScripts: 'outside-only', url: 'http://localhost/', pretendToBeVisual: true, virtualConsole: new VirtualConsole(),
  });
  window.matchMedia = () => ({ matches: false, addListener() {}, removeListener() {}, addEventListener() {} });
  for (const file of ['webcomponent/assets/lib/zone.min.js', 'webcomponent/runtime.js', 'webcomponent/polyfills.js',
    'webcomponent/main.js', 'fhir/R4/lformsFHIR.min.js']) {
    window.eval(readFileSync(join(home, file), 'utf8'));
  }
  return window.LForms;
}

function option([code, display], value) {
  const extension = value === undefined ? undefined : [{ url: ORDINAL, valueDecimal: value }];
  return { ...(extension && { extension }), valueCoding: { system: LOINC, code, display } };
}

/** A Questionnaire with LOINC's codes; the total is computed by the form itself, from the ordinals of its options. */
function questionnaire(instrument, { prefix, grouped }) {
  const { panel, total, difficulty, items } = FORMS[instrument];
  const link = (code) => `${prefix}${code}`;
  const choice = (code, text, options) => ({
    linkId: link(code), code: [{ system: LOINC, code, display: text }], text, type: 'choice', answerOption: options,
  });
  const questions = items.map((code, i) => choice(code, `Question ${i + 1}`, ANSWERS.map((one, value) => option(one, value))));
  if (difficulty) questions.push(choice(difficulty, 'How difficult', DIFFICULTY.map((one) => option(one))));
  const scored = items.map((code) => `linkId='${link(code)}'`).join(' or ');
  const chosen = `%resource.descendants().where(${scored}).answer.value`;
  const values = ANSWERS.map(([code], value) => `${chosen}.where(code='${code}').count()*${value}`).join('+');
  const sum = { linkId: link(total), code: [{ system: LOINC, code: total }], text: 'Total', type: 'decimal', readOnly: true,
    extension: [{ url: SDC, valueExpression: { language: 'text/fhirpath', expression: values } }] };
  return {
    resourceType: 'Questionnaire', status: 'active', url: `${LOINC}/q/${panel}`, title: instrument,
    code: [{ system: LOINC, code: panel }], subjectType: ['Patient'],
    item: grouped ? [{ linkId: 'g1', type: 'group', text: 'Over the last two weeks', item: questions }, sum] : [...questions, sum],
  };
}

const LForms = lhcForms();

async function fill(instrument, style, answers, difficulty) {
  const form = questionnaire(instrument, style);
  const data = new LForms.LFormsData(LForms.Util.convertFHIRQuestionnaireToLForms(form, 'R4'));
  const choose = (code, i) => {
    const item = data.itemList.find((one) => one.linkId === `${style.prefix}${code}`);
    assert.ok(item, `LHC-Forms shows no ${code}`);
    item.value = item.answers[i];
  };
  FORMS[instrument].items.forEach((code, i) => answers[i] !== null && choose(code, answers[i]));
  if (difficulty !== undefined) choose(FORMS[instrument].difficulty, difficulty);
  if (data._expressionProcessor) await data._expressionProcessor.runCalculations(false);
  return LForms.Util.getFormFHIRData('QuestionnaireResponse', 'R4', data);
}

async function call(token, method, path, body) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' };
  const answer = await fetch(`${process.env.REGISTRY_URL}${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const SLASH = { prefix: '/', grouped: false };
const PLAIN = { prefix: '', grouped: true };
const NESTED = { prefix: '/g1/', grouped: true };
// Totals and qualities worked by hand: up to two answers may be missing (five of seven: 6 / 5 × 7 = 8.4, said as 8).
const CASES = [
  ['a PHQ-9, flat', 'phq9', SLASH, [1, 2, 3, 0, 1, 2, 3, 0, 1], 2, { total: 13, quality: 'complete', item9: 1 }],
  ['a PHQ-9 in a group', 'phq9', PLAIN, [3, 3, 3, 3, 3, 3, 3, 3, 3], 3, { total: 27, quality: 'complete', item9: 3 }],
  ['a PHQ-9 with long linkIds', 'phq9', NESTED, [0, 0, 0, 0, 0, 0, 0, 0, 0], 0, { total: 0, quality: 'complete', item9: 0 }],
  ['a PHQ-9 without its difficulty', 'phq9', SLASH, [2, 2, 2, 2, 2, 2, 2, 2, 0], undefined, { total: 16, quality: 'complete', item9: 0 }],
  ['a PHQ-9 of which two answers came', 'phq9', SLASH, [3, 3, null, null, null, null, null, null, null], undefined,
    { total: null, quality: 'unscorable', item9: null }],
  ['a GAD-7, flat', 'gad7', SLASH, [0, 1, 2, 3, 3, 2, 1], undefined, { total: 12, quality: 'complete' }],
  ['a GAD-7 in a group', 'gad7', PLAIN, [3, 3, 3, 3, 3, 3, 3], undefined, { total: 21, quality: 'complete' }],
  ['a GAD-7 of which five answers came', 'gad7', SLASH, [1, 1, 2, 1, 1, null, null], undefined, { total: 8, quality: 'prorated' }],
  ['a GAD-7 of which four answers came', 'gad7', SLASH, [1, 1, 2, 1, null, null, null], undefined, { total: null, quality: 'unscorable' }],
];
const { REGISTRY_TOKEN: ehr, CARE_MANAGER_TOKEN: careManager } = process.env;
await call(ehr, 'PUT', '/fhir/Patient/lhc', { resourceType: 'Patient', id: 'lhc' });
for (const [n, [what, instrument, style, answers, difficulty]] of CASES.entries()) {
  const response = await fill(instrument, style, answers, difficulty);
  assert.equal(response.resourceType, 'QuestionnaireResponse');
  if (answers.every((answer) => answer !== null)) {
    // What LHC-Forms itself makes of it.
    const total = response.item.find((item) => item.linkId.endsWith(FORMS[instrument].total));
    assert.equal(total?.answer[0].valueDecimal, answers.reduce((a, b) => a + b), `${what}: LHC-Forms' own total`);
  }
  Object.assign(response, { id: `lhc-${n}`, subject: { reference: 'Patient/lhc' }, authored: `2026-01-${10 + n}T09:00:00Z` });
  await call(ehr, 'PUT', `/fhir/QuestionnaireResponse/lhc-${n}`, response);
}
const [person] = (await call(careManager, 'GET', '/api/v1/patients?reference=Patient/lhc')).items;
const { measurements } = await call(careManager, 'GET', `/api/v1/patients/${person.id}`);
for (const [n, [what, instrument, , , , expected]] of CASES.entries()) {
  const measured = measurements.find((one) => one.source === `QuestionnaireResponse/lhc-${n}`);
  assert.ok(measured, `${what}: no measurement`);
  assert.equal(measured.instrument, instrument, what);
  for (const [field, value] of Object.entries(expected)) assert.equal(measured[field], value, `${what}: ${field} of ${JSON.stringify(measured)}`);
  console.log(`  ok: ${what} is ${measured.total} (${measured.quality ?? 'not scored'})`);
}
console.log(`${CASES.length} passed, 0 failed`);
// Angular's timers.
process.exit(0);
