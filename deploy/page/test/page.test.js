// The page in headless Chromium, on a scaler of its own. The servers are there already: SERVERS has their flags, FOLDER the
// documents, SPLITSCALE the binary (tests/it/page.rs sets them). Pictures go to PICTURES.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const { SPLITSCALE, FOLDER, SERVERS, PICTURES, CHROMIUM = '/usr/bin/chromium' } = process.env;
const [, stageA, , proxy] = SERVERS.split(' ');
const TOKEN = readFileSync(`${FOLDER}/token`, 'utf8').trim();
const UNKNOWN = '– unknown';
// Generous: what is waited for comes, or the test fails.
const LONG = 30_000;

let browser, scaler, page, origin, load = true;
const said = [], asked = [];

// A scaler on this port, once it says where its page is.
async function start(port, flags = []) {
  const words = ['scale', '--policy', 'policy.json', '--pipeline', 'pipeline.toml', '--shell', 'shell.toml', '--calibration', 'calibration.json',
    ...SERVERS.split(' '), '--interval', '0.5', '--window', '2', '--mode', 'auto', '--listen', `127.0.0.1:${port}`, ...flags];
  const child = spawn(SPLITSCALE, words, { cwd: FOLDER, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise(resolve => child.on('exit', (code, signal) => resolve(code ?? signal)));
  const address = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', data => {
      text += data;
      const found = /page at (http:\S+)/.exec(text);
      if (found) resolve(found[1]);
    });
    ended.then(code => reject(new Error(`the scaler ended with ${code}: ${text}`)));
  });
  return { child, ended, address };
}

const api = async path => (await fetch(`${origin}/api/${path}`)).json();
const setSlots = count => fetch(`${proxy}/set_threads`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ thread_count: count }) });

// Clients that send as long as there is a load.
async function client() {
  while (load) {
    const form = new FormData();
    form.append('file', new Blob(['image']));
    await fetch(`${stageA}/predict-proxy?wait=true`, { method: 'POST', body: form }).then(answer => answer.arrayBuffer(), () => sleep(100));
  }
}

// A page that tells what it logs and asks for.
async function look(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 960 }, ...options });
  const looked = await context.newPage();
  looked.on('console', message => ['error', 'warning'].includes(message.type()) && said.push(message.text()));
  looked.on('pageerror', error => said.push(String(error)));
  looked.on('request', request => asked.push(request.url()));
  await looked.goto(origin);
  await looked.locator('#stream li[data-id]').first().waitFor({ timeout: LONG });
  return looked;
}

// What the page shows now: all from the same decision.
const shown = () => page.evaluate(() => ({
  id: Number(/decision (\d+)/.exec(document.getElementById('now-when').textContent)[1]),
  mode: document.getElementById('mode-now').textContent,
  values: Object.fromEntries([...document.querySelectorAll('#pipeline data')].map(data => [data.dataset.of, [data.getAttribute('value'), data.textContent]])),
  squares: document.querySelectorAll('[data-pods=a] i:not(.draining)').length,
}));

// The same of a decision of the API.
function expected({ observed, cap }) {
  const values = { cap_a: cap?.a, cap_b: cap?.b, link_mbit_s: observed.link?.mbit_s, link_confidence: observed.link?.confidence };
  for (const name of ['arrivals_per_s', 'answers_per_s', 'latency_p50_s', 'latency_p95_s', 'busy_a', 'busy_slots', 'busy_b', 'slots']) values[name] = observed[name]?.value;
  for (const name of ['queue_a', 'queue_proxy', 'queue_b']) values[name] = observed[name]?.value.mean;
  for (const stage of ['a', 'b']) for (const field of ['desired', 'ready', 'starting', 'draining']) values[`${stage}_${field}`] = observed[stage]?.[field];
  return values;
}

async function holdsWithTheApi() {
  const now = await shown();
  const { decision } = await api(`decisions/${now.id}`);
  const wanted = expected(decision);
  assert.deepEqual(Object.keys(now.values).sort(), Object.keys(wanted).sort());
  for (const [name, value] of Object.entries(wanted)) {
    const [data, text] = now.values[name];
    if (value === undefined) assert.deepEqual([name, data, text], [name, null, UNKNOWN]);
    else assert.deepEqual([name, Number(data)], [name, value]);
  }
  return { now, decision };
}

before(async () => {
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath: CHROMIUM, args });
  scaler = await start(0, ['--token-file', 'token']);
  origin = scaler.address;
  page = await look();
});

after(async () => {
  load = false;
  await browser?.close();
  scaler?.child.kill('SIGKILL');
});

test('what is unknown is not zero', async () => {
  const { now, decision } = await holdsWithTheApi();
  assert.equal(decision.observed.latency_p50_s, undefined);
  assert.deepEqual(now.values.latency_p50_s, [null, UNKNOWN]);
  assert.deepEqual(now.values.link_mbit_s, [null, UNKNOWN]);
});

test('whatever the most is, a chart has room for it and little more', async () => {
  const html = await (await fetch(origin)).text();
  const nice = new Function(`${/function nice\(most\) \{[^]*?\n\}/.exec(html)[0]} return nice`)();
  const wrong = [...Array(9000).keys()].map(n => 1.001 ** n / 1e3).filter(most => !(nice(most) >= most && nice(most) <= 1.6 * most));
  assert.deepEqual(wrong, []);
});

test('the values are those of the API, under load', async () => {
  for (let n = 0; n < 6; n += 1) client();
  await page.waitForFunction(() => ['latency_p50_s', 'link_mbit_s', 'cap_a'].every(name => document.querySelector(`[data-of=${name}]`).hasAttribute('value')), null, { timeout: LONG });
  for (let n = 0; n < 5; n += 1) {
    const { now, decision: { observed } } = await holdsWithTheApi();
    const text = name => now.values[name][1];
    assert.equal(text('queue_a'), `${observed.queue_a.value.mean.toFixed(1)} requests`);
    assert.equal(text('link_mbit_s'), `${observed.link.mbit_s.toFixed(1)} Mbit/s`);
    assert.equal(text('link_confidence'), observed.link.confidence.toFixed(2));
    assert.equal(text('busy_slots'), `${Math.round(100 * observed.busy_slots.value)} %`);
    const p50 = observed.latency_p50_s.value;
    assert.equal(text('latency_p50_s'), p50 < 1 ? `${Math.round(1000 * p50)} ms` : `${p50.toFixed(2)} s`);
    assert.equal(now.squares, observed.a.ready + observed.a.starting);
    assert.equal(now.mode, (await api('status')).mode);
    await sleep(700);
  }
});

test('a decision is on the page within two seconds', async () => {
  for (let n = 0; n < 4; n += 1) {
    const { latest: { id } } = await api('status');
    let next = id;
    while (next === id) { await sleep(50); next = (await api('status')).latest.id; }
    await page.waitForFunction(id => Number(document.querySelector('#stream li').dataset.id) >= id, next, { timeout: 2000 });
  }
});

test('slots that go and come move pods, and the page tells', async () => {
  for (const [slots, pods] of [[1, 1], [8, 3]]) {
    await setSlots(slots);
    await page.waitForFunction(([slots, pods]) => document.querySelector('[data-of=slots]').value === slots && document.querySelector('[data-of=a_desired]').value === pods,
      [String(slots), String(pods)], { timeout: LONG });
    const row = page.locator('#stream li', { has: page.locator('.moved') }).first();
    assert.match(await row.innerText(), new RegExp(`→ ${pods}[^]*carried out`));
    await holdsWithTheApi();
    await sleep(2500);
    await page.screenshot({ path: `${PICTURES}/desktop-light-${slots}-slots.png`, fullPage: true });
  }
});

test('by keyboard alone a decision is opened and closed', async () => {
  await page.locator('body').press('Home');
  const focused = () => page.evaluate(() => document.activeElement.className);
  for (let n = 0; n < 12 && await focused() !== 'row' && !(await focused()).startsWith('row '); n += 1) await page.keyboard.press('Tab');
  assert.match(await focused(), /^row\b/);
  await page.keyboard.press('Enter');
  await page.locator('#detail[open] #inputs tbody tr').first().waitFor({ timeout: LONG });
  const id = Number(/\d+/.exec(await page.locator('#detail-title').innerText())[0]);
  const { decision, sentences } = await api(`decisions/${id}`);
  assert.deepEqual(await page.locator('#sentences li').allInnerTexts(), sentences);
  const inputs = await page.locator('#inputs data').evaluateAll(all => Object.fromEntries(all.map(data => [data.dataset.input, data.getAttribute('value')])));
  const wanted = expected(decision);
  for (const [name, value] of Object.entries(inputs)) assert.deepEqual([name, value], [name, wanted[name] === undefined ? null : String(wanted[name])]);
  assert.equal(Object.keys(inputs).length, 13);
  assert.deepEqual(JSON.parse(await page.locator('#json').textContent()), decision);
  await page.screenshot({ path: `${PICTURES}/decision.png` });
  await page.locator('#earlier').press('Enter');
  await page.waitForFunction(id => document.getElementById('detail-title').textContent.startsWith(`Decision ${id},`), id - 1, { timeout: LONG });
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('#detail[open]').count(), 0);
  assert.match(await focused(), /^row\b/);
});

test('the mode is switched with the token and not without', async () => {
  assert.deepEqual(said.splice(0), []);
  const ask = async (mode, token) => {
    if (!await page.locator('#mode[open]').count()) await page.locator('#mode-button').press('Enter');
    await page.locator(`#mode input[value=${mode}]`).check();
    await page.locator('#token').fill(token);
    await page.keyboard.press('Enter');
  };
  await ask('paused', `${TOKEN}x`);
  await page.waitForFunction(() => document.getElementById('mode-said').textContent.includes('not the token'), null, { timeout: LONG });
  await page.screenshot({ path: `${PICTURES}/mode.png` });
  assert.equal((await api('status')).mode, 'auto');
  // The browser logs an answer that is an error; the page cannot help it.
  assert.deepEqual(said.splice(0).filter(text => !text.includes('401')), []);
  await ask('paused', TOKEN);
  await page.waitForFunction(() => document.getElementById('mode-now').textContent === 'paused' && document.getElementById('now-kind').textContent === 'paused', null, { timeout: LONG });
  assert.equal((await api('status')).latest.mode, 'paused');
  await ask('auto', TOKEN);
  await page.waitForFunction(() => document.getElementById('mode-now').textContent === 'auto', null, { timeout: LONG });
  assert.deepEqual(said.splice(0), []);
});

test('what is old looks old', async () => {
  scaler.child.kill('SIGSTOP');
  await page.waitForFunction(() => document.querySelector('[data-of=slots]').dataset.age && document.getElementById('link-state').textContent.startsWith('no decision for'), null, { timeout: LONG });
  await page.screenshot({ path: `${PICTURES}/stale.png` });
  scaler.child.kill('SIGCONT');
  await page.waitForFunction(() => !document.querySelector('[data-of=slots]').dataset.age && document.getElementById('link-state').textContent === 'live', null, { timeout: LONG });
});

test('on a phone nothing is wider than the screen', async () => {
  const phone = await look({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await phone.waitForFunction(() => document.querySelector('[data-of=latency_p50_s]').hasAttribute('value'), null, { timeout: LONG });
  const wide = () => phone.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.equal(await wide(), 0);
  await phone.screenshot({ path: `${PICTURES}/phone.png`, fullPage: true });
  await phone.locator('#stream .row').first().tap();
  await phone.locator('#detail[open] #inputs tbody tr').first().waitFor({ timeout: LONG });
  assert.equal(await wide(), 0);
  await phone.screenshot({ path: `${PICTURES}/phone-decision.png` });
  await phone.context().close();
  const dark = await look({ colorScheme: 'dark' });
  await dark.waitForFunction(() => document.querySelector('[data-of=latency_p50_s]').hasAttribute('value'), null, { timeout: LONG });
  await dark.screenshot({ path: `${PICTURES}/desktop-dark.png`, fullPage: true });
  await dark.context().close();
  assert.deepEqual(said.splice(0), []);
});

test('a scaler that comes again is found again', async () => {
  const { latest: { id } } = await api('status');
  scaler.child.kill('SIGTERM');
  assert.equal(await scaler.ended, 0, 'it ends though the page listens');
  await page.waitForFunction(() => document.getElementById('link-state').textContent.startsWith('connection lost'), null, { timeout: LONG });
  await page.screenshot({ path: `${PICTURES}/lost.png` });
  scaler = await start(new URL(origin).port, ['--resume']);
  await page.waitForFunction(id => document.getElementById('link-state').textContent === 'live' && Number(document.querySelector('#stream li').dataset.id) > id, id, { timeout: LONG });
  await holdsWithTheApi();
  // The browser logs that nobody was there.
  assert.deepEqual(said.splice(0).filter(text => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING/.test(text)), []);
  // This one has no token: it says so in place of asking for one.
  await page.waitForFunction(async () => (await (await fetch('api/status')).json()).switchable === false);
  await page.locator('#mode-button').press('Enter');
  await page.locator('#without-token').waitFor({ timeout: LONG });
  assert.equal(await page.locator('#mode-set').isVisible(), false);
  await page.keyboard.press('Escape');
});

test('nothing came from elsewhere', () => {
  assert.ok(asked.length > 10);
  assert.deepEqual(asked.filter(url => !url.startsWith(`${origin}/`) && !url.startsWith('data:')), []);
});
