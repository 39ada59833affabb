// docs/guide/nats.md: its commands on a cluster of `muster up`, as the users that it names; what it shows has the form of what
// comes.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, type TempDir, tempDir } from '@muster/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newestNats } from '../integration/support/cluster.ts';
import { natsCommand, type Place } from './support/nats-command.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const PAGE = readFileSync(join(ROOT, 'docs', 'guide', 'nats.md'), 'utf8');
const CONFIG = 'cluster: { name: demo }\npools: { duckdb: { driver: simulated, floor: 2 } }\n';

/** The command that is marked with this name, and the answer that the page shows for it. */
function shown(name: string): { readonly command: string; readonly answer: unknown } {
  const block = new RegExp(`<!-- nats-guide: ${name} -->\\n\`\`\`sh\\n([^\\n]+)\\n\`\`\`\\n[^]*?\`\`\`json\\n([^]*?)\`\`\``).exec(PAGE);
  if (block?.[1] === undefined) throw new Error(`the page has no block ${name}`);
  return { command: block[1], answer: JSON.parse(block[2] ?? '') };
}

/** A value's form: names and types, of a list that of its first member. */
function formOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(formOf);
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, formOf(of)]));
}

let folder: TempDir;
let up: ChildProcess;
let at: Place;

beforeAll(async () => {
  folder = await tempDir();
  await writeFile(join(folder.path, 'muster.yaml'), CONFIG);
  up = spawn(process.execPath, [join(ROOT, 'packages/cli/bin/muster.js'), 'up', '--data', 'data'], {
    cwd: folder.path,
    env: { PATH: process.env['PATH'], XDG_RUNTIME_DIR: folder.path, MUSTER_NATS_SERVER: newestNats().path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [up.stdout, up.stderr]) stream?.on('data', (chunk) => (said += String(chunk)));
  const port = await eventually(() => /^ready: demo on nats:\/\/127\.0\.0\.1:(\d+)/m.exec(said)?.[1] ?? (false as const), {
    timeoutMs: 240_000,
  }).catch((error: unknown) => {
    throw new Error(said, { cause: error });
  });
  at = { port: Number(port), folder: join(folder.path, 'data') };
}, 300_000);

afterAll(async () => {
  if (up?.exitCode === null) {
    up.kill('SIGINT');
    await once(up, 'exit');
  }
  await folder?.[Symbol.asyncDispose]();
}, 120_000);

const reserve = async (org: string) => {
  const request = JSON.stringify({ org, waitMs: 15_000 });
  const answer = await natsCommand(at, `nats req muster.v1.reserve.duckdb '${request}'`);
  expect(answer).toMatchObject({ ok: true });
  return (answer as { readonly reservation: { readonly id: string; readonly slot: string; readonly epoch: number } }).reservation;
};

test('micro: each replica is an instance, with its endpoints and its figures', async () => {
  const list = shown('list');
  // What answers is collected for a second; who stands still in it is not among them.
  const instances = await eventually(async () => {
    const answers = (await natsCommand(at, list.command)) as readonly { readonly id: string }[];
    expect(new Set(answers.map(({ id }) => id)).size).toBe(3);
    return answers;
  });
  const [page] = list.answer as readonly { readonly id: string }[];
  for (const one of instances) expect({ ...one, id: page?.id }).toEqual(page);

  await reserve('counted');
  const stats = shown('stats');
  type Figures = readonly { readonly endpoints: readonly { readonly num_requests: number }[] }[];
  await eventually(async () => {
    const figures = (await natsCommand(at, stats.command)) as Figures;
    expect(formOf(figures)).toEqual(formOf(stats.answer));
    expect(figures.reduce((sum, { endpoints }) => sum + (endpoints[0]?.num_requests ?? 0), 0)).toBe(1);
  });
});

test('sub: a grant is seen when it is durable, without its token', async () => {
  const { command, answer } = shown('events');
  const event = (await natsCommand(at, command, () => reserve('seen'))) as {
    readonly record: { readonly context: { readonly org: string } };
  };
  expect(formOf(event)).toEqual(formOf(answer));
  expect(event.record.context.org).toBe('seen');
});

test('kv: the bucket has the record of each slot', async () => {
  const { slot } = await reserve('kept');
  const { command, answer } = shown('slot');
  const get = (of: string) => natsCommand(at, command.replace(/duckdb-\w+/, of));
  await eventually(async () => expect(await get(slot)).toMatchObject({ state: { reserved: 'active' }, context: { org: 'kept' } }));
  const event = shown('events').answer as { readonly record: { readonly context: object } };
  expect(Object.keys((answer as typeof event.record).context)).toEqual(Object.keys(event.record.context));
  expect(Object.keys((await get(slot)) as object)).toEqual(Object.keys(answer as object));
});

test('req: a client by hand', async () => {
  const pools = shown('pools');
  expect(await natsCommand(at, pools.command)).toEqual(pools.answer);
  const asked = shown('reserve');
  const given = (await natsCommand(at, asked.command)) as { readonly reservation: { readonly id: string; readonly epoch: number } };
  expect(formOf(given)).toEqual(formOf(asked.answer));
  const again = (await natsCommand(at, asked.command)) as typeof given;
  expect(again.reservation).toEqual(given.reservation);
  for (const name of ['renew', 'release']) {
    const { command, answer } = shown(name);
    const own = command.replace(/duckdb-\w+/, given.reservation.id).replace(/"epoch":\d+/, `"epoch":${given.reservation.epoch}`);
    expect(formOf(await natsCommand(at, own))).toEqual(formOf(answer));
  }
  const refused = shown('refused');
  expect(await natsCommand(at, refused.command)).toEqual(refused.answer);
});

test('stream: an administrator sees the journals from outside, a replica what is in them, and nobody else either', async () => {
  const info = shown('stream');
  const { config, state } = info.answer as { readonly config: object; readonly state: object };
  type Info = { readonly config: object; readonly state: { readonly consumer_count: number } };
  // One for each replica, once one that somebody has just made anew is forgotten.
  await eventually(async () => {
    const stream = (await natsCommand(at, info.command)) as Info;
    expect(stream.config).toMatchObject(config);
    expect(formOf(stream.state)).toMatchObject(formOf(state) as object);
    expect(stream.state.consumer_count).toBe(3);
  });
  const record = shown('record');
  const found = (await natsCommand(at, record.command)) as { readonly data: string };
  expect(formOf(found)).toEqual(formOf(record.answer));
  expect(JSON.parse(atob(found.data))).toMatchObject({ v: 1, by: expect.any(String), epoch: expect.any(Number), prev: expect.any(String) });
  for (const [user, command] of [
    ['admin', record.command.replaceAll('replica', 'admin')],
    ['observer', info.command.replaceAll('admin', 'observer')],
  ] as const) {
    await expect(natsCommand(at, command), user).rejects.toMatchObject({ code: 'unauthorized' });
  }
});

test('every command of the page is one of those', () => {
  const commands = [...PAGE.matchAll(/^```sh\n([^]*?)\n```/gm)].map(([, text]) => text ?? '');
  const marked = [...PAGE.matchAll(/<!-- nats-guide: (\w+) -->/g)].map(([, name]) => shown(name ?? '').command);
  const others = commands.filter((command) => !marked.includes(command));
  // Those that go on for good: their requests are those of the commands beside them.
  expect(others).toEqual(["nats sub 'muster.v1.events.>'", 'nats kv watch muster_demo_slots']);
});
