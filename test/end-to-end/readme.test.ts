// The README's own commands, run as a newcomer runs them.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = new URL('../../', import.meta.url).pathname;
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The commands of the block that is marked with this name. */
function commandsOf(name: string): string {
  const block = new RegExp(`<!-- readme-test: ${name} -->\\n\`\`\`sh\\n([^\`]+)\`\`\``).exec(README)?.[1];
  if (block === undefined) throw new Error(`the README has no block ${name}`);
  return block;
}

interface Said {
  readonly code: number | null;
  readonly out: string;
}

async function run(script: string, env: Readonly<Record<string, string>> = {}): Promise<Said> {
  const child = spawn('bash', ['-euc', script], {
    cwd: ROOT,
    env: { ...process.env, ...runtimeDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (out += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out };
}

let folder: string;
let up: ChildProcess;
let upSaid = '';
let runtimeDir: { XDG_RUNTIME_DIR: string };
const reservation = { ENDPOINT: '', TOKEN: '', RESERVATION: '' };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muster-readme-'));
  runtimeDir = { XDG_RUNTIME_DIR: folder };
  expect(README).toContain('npm ci && npm start');
  up = spawn('npm', ['start', '--', '--data', join(folder, 'data')], {
    cwd: ROOT,
    env: { ...process.env, ...runtimeDir },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const ready = new Promise<void>((resolve, reject) => {
    const hear = (chunk: unknown): void => {
      upSaid += String(chunk);
      if (/^ready: /m.test(upSaid)) resolve();
    };
    up.stdout?.on('data', hear);
    up.stderr?.on('data', hear);
    up.once('exit', (code) => reject(new Error(`npm start ended with ${code}: ${upSaid}`)));
  });
  await ready;
}, 300_000);

afterAll(async () => {
  if (up?.pid !== undefined && up.exitCode === null) {
    process.kill(-up.pid, 'SIGINT');
    await once(up, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
}, 120_000);

test('npm start says where everything is, with the floor warm', () => {
  expect(upSaid).toMatch(/^ready: demo on nats:\/\/127\.0\.0\.1:\d+; replicas (http:\/\/127\.0\.0\.1:\d+ ?){3}; pools duckdb 5 warm/m);
});

test('a reservation has a live endpoint', async () => {
  const { code, out } = await run(commandsOf('reserve'));
  expect(code, out).toBe(0);
  reservation.ENDPOINT = /^endpoint +(\S+)$/m.exec(out)?.[1] ?? '';
  reservation.TOKEN = /^token +(\S+)$/m.exec(out)?.[1] ?? '';
  reservation.RESERVATION = /^reservation +(\S+)/m.exec(out)?.[1] ?? '';
  expect(reservation.ENDPOINT).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
});

test('it runs SQL', async () => {
  const { code, out } = await run(commandsOf('query'), reservation);
  expect(code, out).toBe(0);
  const shown = /```json\n(\{"columns"[^\n]+)\n```/.exec(README)?.[1] ?? '';
  expect(JSON.parse(out)).toEqual(JSON.parse(shown));
});

test('looking around works, and so does giving it back', async () => {
  const { code, out } = await run(commandsOf('look'), reservation);
  expect(code, out).toBe(0);
  expect(out).toContain(reservation.RESERVATION);
});

test("the tenants' run loses nothing and gives nothing twice", async () => {
  const command = commandsOf('bench').trim();
  expect(command).toContain('--duration 60s');
  // The same command, for a few seconds, with its report as data.
  const { code, out } = await run(`${command.replace('--duration 60s', '--duration 5s')} --json`);
  expect(code, out).toBe(0);
  const report = JSON.parse(out.slice(out.indexOf('{')));
  expect(report).toMatchObject({ intents: 1, slotsStarted: 35, lost: 0, givenTwice: 0, errors: 0 });
}, 300_000);
