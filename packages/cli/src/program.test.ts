import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { MemoryBus, MemoryNetwork, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { type AdminRequest, adminRequestSchema, decode, encode, MusterError, parse, type ShardCommand, subjects } from '@muster/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEnvironment } from './config.ts';
import type { CliContext } from './context.ts';
import { runMuster } from './program.ts';

let folder: string;
let network: MemoryNetwork;
let server: MemoryBus;
let out: string[];
let err: string[];
let dialled: (readonly string[])[];
let worker: Server | undefined;
const clock = new SystemClock();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-test-'));
  network = new MemoryNetwork({ clock });
  server = new MemoryBus({ network, name: 'server' });
  [out, err, dialled] = [[], [], []];
});
afterEach(async () => {
  await new Promise((resolve) => (worker === undefined ? resolve(undefined) : worker.close(resolve)));
  worker = undefined;
  rmSync(folder, { recursive: true, force: true });
});

function run(line: string | readonly string[], env: Record<string, string> = {}, more: Partial<CliContext> = {}): Promise<number> {
  const args = typeof line === 'string' ? line.split(' ') : line;
  return runMuster(args, {
    clock,
    random: new SystemRandom(),
    logger: silentLogger,
    environment: readEnvironment({ XDG_RUNTIME_DIR: folder, ...env }),
    folder,
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    isTerminal: false,
    connect: async ({ servers }) => {
      dialled.push(servers);
      return new MemoryBus({ network, name: `cli-${dialled.length}` });
    },
    dial: () => Promise.reject(new Error('no command of this test needs more than messages')),
    onStopSignal: () => () => undefined,
    ...more,
  });
}

/** A replica that answers administration as a script says, after reading it as a replica does. */
function administer(answer: (request: AdminRequest) => unknown): AdminRequest[] {
  const requests: AdminRequest[] = [];
  server.subscribe(subjects.admin(), (message) => {
    const request = parse(adminRequestSchema, decode(message.data));
    requests.push(request);
    message.respond(encode(answer(request)));
  });
  return requests;
}

/** A control plane with one pool, whose shard answers as a script says. */
function serve(answer: (body: ShardCommand) => unknown): ShardCommand[] {
  const bodies: ShardCommand[] = [];
  server.subscribe(subjects.pools(), (message) =>
    message.respond(encode({ ok: true, cluster: 'test', pools: [{ pool: 'duckdb', shards: ['duckdb'] }] })),
  );
  server.subscribe(subjects.shardRequest('duckdb'), (message) => {
    const { body } = decode(message.data) as { body: ShardCommand };
    bodies.push(body);
    message.respond(encode({ epoch: 1, answer: answer(body) }));
  });
  return bodies;
}

const reservation = {
  id: 'duckdb-k3x9_7',
  slot: 'duckdb-k3x9',
  org: 'acme',
  epoch: 7,
  endpoint: 'http://127.0.0.1:9',
  token: 'secret',
  subject: 'muster.v1.reservation.duckdb-k3x9_7',
  ttlMs: 60_000,
};
const granted = { ok: true, reservation, source: 'warm', waitedMs: 0 };

describe('the command line', () => {
  it.each([
    ['reserve duckdb', "'--org <org>'"],
    ['reserve duckdb --org acme --wait 5', 'must be a duration'],
    ['reserve duckdb --org acme --activation [1]', 'must be a JSON object'],
    ['slots --state asleep', 'Allowed choices are spawning'],
    ['statsu', 'Did you mean status?'],
    ['release nothing', 'is not the id of a reservation'],
    ['release duckdb-a_1 --epoch 0', 'must be a whole number'],
    ['apply -f missing.yaml', 'missing.yaml does not exist'],
  ])('ends %j with 2 and one line', async (line, said) => {
    expect(await run(line)).toBe(2);
    expect(err).toHaveLength(1);
    expect(err[0]).toMatch(/^muster: [^\n]*$/);
    expect(err[0]).toContain(said);
    expect(dialled).toHaveLength(0);
  });

  it('prints help with 0 where it is asked for, and on stderr with 2 where no command is named', async () => {
    expect(await run('--help')).toBe(0);
    for (const name of [
      'status',
      'pools',
      'slots',
      'orgs',
      'hosts',
      'intents',
      'explain',
      'top',
      'reserve',
      'release',
      'drain',
      'hold',
      'pause',
      'resume',
      'apply',
    ]) {
      expect(out.join('\n')).toContain(`\n  ${name} `);
    }
    expect(err).toEqual([]);
    expect(await run([])).toBe(2);
    expect(err.join('\n')).toContain('Usage: muster');
  });

  it('has every command and option on its page', async () => {
    const page = readFileSync(new URL('../../../docs/reference/cli.md', import.meta.url), 'utf8');
    const helpOf = async (words: readonly string[]): Promise<string> => {
      out = [];
      expect(await run([...words, '--help'])).toBe(0);
      return out.join('\n');
    };
    const namesIn = (help: string): readonly string[] =>
      [...help.slice(help.indexOf('Commands:')).matchAll(/^ {2}([a-z][a-z-]*) /gm)]
        .map(([, name = '']) => name)
        .filter((name) => name !== 'help');
    const missing: string[] = [];
    const look = async (words: readonly string[]): Promise<void> => {
      const help = await helpOf(words);
      const options = [...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option = '']) => option);
      for (const option of options) if (!page.includes(option) && option !== '--version') missing.push([...words, option].join(' '));
      if (words.length > 0 && !page.includes(`muster ${words.join(' ')}`)) missing.push(words.join(' '));
      if (help.includes('Commands:')) for (const name of namesIn(help)) await look([...words, name]);
    };
    await look([]);
    expect(missing).toEqual([]);
  });

  it('says where it looked, with a hint, when nobody is there', async () => {
    const connect = () => Promise.reject(new MusterError('disconnected', 'refused'));
    expect(await run('status', {}, { connect })).toBe(1);
    expect(err).toEqual([
      "muster: no connection to NATS at nats://127.0.0.1:4222; hint: 'muster up' starts a cluster; --nats names a running one",
    ]);
    err = [];
    expect(await run('status --nats nats://a:1,nats://b:2 --json')).toBe(1);
    expect(dialled).toEqual([['nats://a:1', 'nats://b:2']]);
    expect(err[0]).toContain('no replica answers on NATS at nats://a:1, nats://b:2 (from --nats)');
    expect(JSON.parse(out.join(''))).toMatchObject({ ok: false, error: { code: 'no-responders' } });
  });

  it('says how to become somebody who may do it', async () => {
    server.subscribe(subjects.admin(), (message) =>
      message.respond(encode({ ok: false, error: { code: 'unauthorized', message: 'not for you' } })),
    );
    expect(await run('status')).toBe(1);
    expect(err).toEqual([
      'muster: not for you; hint: name a file of credentials with --creds; docs/guide/security.md says who may do what',
    ]);
  });
});

describe('where the cluster is', () => {
  it('--nats, MUSTER_NATS_URL, the muster.yaml of the folder, the default', async () => {
    administer(() => ({ ok: true, pools: [] }));
    await run('pools');
    writeFileSync(join(folder, 'muster.yaml'), 'cluster: { name: demo }\nnats: { servers: ["nats://yaml:4222"] }\npools: {}\n');
    await run('pools');
    await run('pools', { MUSTER_NATS_URL: 'nats://env:1' });
    await run('pools --nats nats://option:1', { MUSTER_NATS_URL: 'nats://env:1' });
    expect(dialled).toEqual([['nats://127.0.0.1:4222'], ['nats://yaml:4222'], ['nats://env:1'], ['nats://option:1']]);
  });

  it('names the line of a muster.yaml that is none', async () => {
    writeFileSync(join(folder, 'muster.yaml'), 'cluster: { name: demo\npools:\n');
    expect(await run('pools')).toBe(2);
    expect(err[0]).toMatch(/muster\.yaml: the configuration is not YAML: .* at line \d/);
  });
});

describe('reserve', () => {
  it('prints what is needed to call the worker, and passes everything on', async () => {
    const bodies = serve(() => granted);
    const args = ['reserve', 'duckdb', '--org', 'acme', '--wait', '5s', '--ttl', '2m', '--request-id', 'r1', '--activation', '{"a":1}'];
    expect(await run(args)).toBe(0);
    expect(bodies).toMatchObject([{ type: 'reserve', org: 'acme', waitMs: 5_000, ttlMs: 120_000, requestId: 'r1', activation: { a: 1 } }]);
    expect(out.join('\n')).toContain('duckdb-k3x9_7');
    expect(out.join('\n')).toContain('http://127.0.0.1:9');
    expect(out.join('\n')).toContain('secret');
  });

  it('ends a miss with 3, and gives it as it came with --json', async () => {
    const miss = { ok: false, miss: { reason: 'org-cap', retryAfterMs: 1_000 } };
    serve(() => miss);
    expect(await run('reserve duckdb --org acme --json')).toBe(3);
    expect(JSON.parse(out.join(''))).toEqual(miss);
    out = [];
    expect(await run('reserve duckdb --org acme')).toBe(3);
    expect(out).toEqual(['no worker of duckdb: org-cap; try again after 1.0 s']);
    expect(err).toEqual([]);
  });

  it('does not advise to try again where there is no such pool', async () => {
    serve(() => ({ ok: false, miss: { reason: 'pool-unknown', retryAfterMs: 1_000 } }));
    expect(await run('reserve duckdb --org acme')).toBe(3);
    expect(out).toEqual(['there is no pool duckdb: muster pools has their names']);
  });

  it('ends bad input with 2 and names the field', async () => {
    serve(() => granted);
    expect(await run('reserve duckdb --org a.b --json')).toBe(2);
    expect(JSON.parse(out.join(''))).toMatchObject({ error: { code: 'bad-request', field: 'org' } });
  });

  it('runs SQL on the worker with the token, prints the rows, and releases it, also when the statement is wrong', async () => {
    const calls: string[] = [];
    worker = createServer((request, response) => {
      void readText(request).then((body) => {
        const { sql } = JSON.parse(body) as { sql: string };
        calls.push(`${request.url} ${request.headers.authorization} ${sql}`);
        const isGood = sql === 'select 1';
        const answer = isGood
          ? { columns: [{ name: 'one', type: 'INTEGER' }], rows: [[1]], rowCount: 1, ok: true }
          : { ok: false, error: { code: 'sql-error', message: 'Parser Error: syntax error\nLINE 1' } };
        response.writeHead(isGood ? 200 : 400).end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => worker?.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(worker.address() as AddressInfo).port}`;
    const bodies = serve((body) =>
      body.type === 'reserve'
        ? { ...granted, reservation: { ...reservation, endpoint } }
        : { ok: true, results: [{ id: reservation.id, ok: true }] },
    );
    expect(await run(['reserve', 'duckdb', '--org', 'acme', '--sql', 'select 1'])).toBe(0);
    expect(out).toEqual(['one\n  1']);
    expect(await run(['reserve', 'duckdb', '--org', 'acme', '--sql', 'selec 1'])).toBe(1);
    expect(err).toEqual(['muster: Parser Error: syntax error']);
    expect(calls).toEqual(['/query Bearer secret select 1', '/query Bearer secret selec 1']);
    expect(bodies.map(({ type }) => type)).toEqual(['reserve', 'release', 'reserve', 'release']);
  });
});

describe('release', () => {
  it('takes the epoch from the id, or from --epoch', async () => {
    const bodies = serve(() => ({ ok: true, results: [{ id: reservation.id, ok: true }] }));
    expect(await run('release duckdb-k3x9_7')).toBe(0);
    expect(await run('release duckdb-k3x9_7 --epoch 3 --json')).toBe(0);
    expect(bodies.map((body) => (body.type === 'release' ? body.reservations[0]?.epoch : 0))).toEqual([7, 3]);
    expect(out).toEqual(['duckdb-k3x9_7 is released', '{"ok":true,"id":"duckdb-k3x9_7"}']);
  });
});

describe('reads and administration', () => {
  const pool = {
    pool: 'duckdb',
    driver: 'process',
    shards: ['duckdb'],
    floor: 5,
    max: 0,
    capacity: { kind: 'bounded', max: 54, why: '18.0 GiB by 256.0 MiB' },
    recycle: 'same-org',
    templateHash: 'h',
    isHeld: true,
    holdLeftMs: 5_000,
    isBreakerOpen: false,
    breakerReason: null,
    waiting: 30,
    refused: 0,
    warm: 1,
    spawning: 2,
    reserved: 3,
    parked: 4,
    draining: 6,
    unreachable: 0,
  };

  it('status shows replicas, shards and pools', async () => {
    administer(() => ({
      ok: true,
      cluster: 'demo',
      replica: 'r1',
      version: '0.1.0',
      configVersion: 3,
      replicas: [{ id: 'r1', http: 'http://127.0.0.1:8080', isAlive: true, shards: ['duckdb', 'janitor'] }],
      shards: [{ shard: 'duckdb', owner: 'r1', epoch: 4, seq: 99, isFrozen: false }],
      pools: [pool],
    }));
    expect(await run('status')).toBe(0);
    for (const said of [
      'cluster demo',
      'http://127.0.0.1:8080',
      'duckdb janitor',
      'duckdb: max 54: 18.0 GiB by 256.0 MiB',
      'held for 5.0 s',
    ]) {
      expect(out.join('\n')).toContain(said);
    }
  });

  it('slots reads all pages, with the filters', async () => {
    const slot = (name: string) => ({ slot: name, pool: 'duckdb', state: 'warm', ageMs: 5, isUnreachable: false });
    const requests = administer((request) => ({
      ok: true,
      slots: [slot(`duckdb-${request.type === 'slots' ? request.page : ''}`)],
      page: 0,
      hasMore: request.type === 'slots' && request.page < 2,
    }));
    expect(await run('slots --pool duckdb --state warm --json')).toBe(0);
    expect(requests).toEqual([0, 1, 2].map((page) => ({ type: 'slots', pool: 'duckdb', state: 'warm', page })));
    expect((JSON.parse(out.join('')) as { slots: { slot: string }[] }).slots.map((one) => one.slot)).toEqual([
      'duckdb-0',
      'duckdb-1',
      'duckdb-2',
    ]);
  });

  it.each([
    ['pools', { type: 'pools' }],
    ['orgs', { type: 'orgs', page: 0 }],
    ['hosts', { type: 'hosts' }],
    ['hosts forget h1', { type: 'forget-host', host: 'h1' }],
    ['intents --pool duckdb --limit 3', { type: 'intents', pool: 'duckdb', limit: 3 }],
    ['drain duckdb-1', { type: 'drain', slot: 'duckdb-1', force: false }],
    ['drain duckdb-1 --force', { type: 'drain', slot: 'duckdb-1', force: true }],
    ['hold duckdb --for 1m', { type: 'hold', pool: 'duckdb', holdMs: 60_000 }],
    ['explain duckdb --org acme', { type: 'explain', of: 'duckdb', org: 'acme' }],
    ['pause duckdb', { type: 'pause', pool: 'duckdb' }],
    ['resume duckdb', { type: 'resume', pool: 'duckdb' }],
  ])('%s asks a replica, and prints its answer as one JSON object with --json', async (line, request) => {
    const answer = { ok: true, says: [], pools: [], orgs: [], hosts: [], intents: [], hasMore: false, holdLeftMs: 60_000 };
    const requests = administer(() => answer);
    expect(await run(line)).toBe(0);
    expect(await run(`${line} --json`)).toBe(0);
    expect(requests).toEqual([request, request]);
    expect(JSON.parse(out.at(-1) ?? '')).toMatchObject({ ok: true });
    expect(err).toEqual([]);
  });

  it('top shows pools, the orgs that have most and the last decisions, and waits for a replica that does not answer', async () => {
    const org = (name: string, reserved: number) => ({
      org: name,
      max: 0,
      weight: 1,
      pools: [{ pool: 'duckdb', reserved, parked: 0, waiting: 0 }],
    });
    let asked = 0;
    administer(({ type }) => {
      if (type === 'status' && ++asked === 2) return { ok: false, error: { code: 'disconnected', message: 'the link is down' } };
      if (type === 'orgs') return { ok: true, orgs: [org('idle', 0), org('small', 1), org('large', 7)], page: 0, hasMore: false };
      if (type === 'intents') return { ok: true, intents: [] };
      return { ok: true, cluster: 'demo', replicas: [{ isAlive: true }, { isAlive: false }], pools: [pool] };
    });
    expect(await run('top --every 1ms --times 3')).toBe(0);
    expect(out).toEqual([expect.stringContaining('demo: 1 of 2 replicas'), 'no answer now: the link is down', out[0]]);
    const [shown = ''] = out;
    expect(shown.indexOf('large')).toBeLessThan(shown.indexOf('small'));
    expect(shown).not.toContain('idle');
    expect(shown).toContain('held for 5.0 s');
    expect(await run('top --every 1ms --times 1 --json')).toBe(0);
    expect(JSON.parse(out.at(-1) ?? '')).toMatchObject({
      ok: true,
      status: { cluster: 'demo' },
      orgs: [{ org: 'large' }, { org: 'small' }, {}],
    });
  });

  it('top ends with 0 at Ctrl-C', async () => {
    administer(({ type }) =>
      type === 'orgs'
        ? { ok: true, orgs: [], page: 0, hasMore: false }
        : { ok: true, cluster: 'demo', replicas: [], pools: [], intents: [] },
    );
    let stop = (): void => undefined;
    const onStopSignal = (listener: (signal: string) => void) => {
      stop = () => listener('SIGINT');
      return () => undefined;
    };
    expect(await run('top --every 1h', {}, { onStopSignal, out: () => stop() })).toBe(0);
  });

  it('intents says what was drained of one that drains', async () => {
    const intent = { pool: 'duckdb', decidedAtMs: 0, inputs: {}, slots: { duckdb: 4 } };
    const applied = (started: number, drained: number) => ({ duckdb: { started, drained, refused: 0, reason: null } });
    administer(() => ({
      ok: true,
      intents: [
        { ...intent, n: 2, kind: 'down', applied: applied(0, 3) },
        { ...intent, n: 1, kind: 'demand', applied: applied(4, 0) },
      ],
    }));
    expect(await run('intents')).toBe(0);
    const [, down, up] = out.join('\n').split('\n');
    expect(down).toMatch(/ down .* ago\s+4\s+3 /);
    expect(up).toMatch(/ demand .* ago\s+4\s+4 /);
  });

  it('wait says in one line that every pool has its floor, or what is missing', async () => {
    const warm = [0, 2, 0];
    administer(({ type }) => {
      if (type === 'hosts') return { ok: true, hosts: [{ isSilent: false }, { isSilent: true }] };
      const replicas = [{ isAlive: true }, { isAlive: false }];
      return { ok: true, cluster: 'demo', replicas, pools: [{ ...pool, reserved: 2, parked: 1, warm: warm.shift() }] };
    });
    expect(await run(['wait', '--at', 'http://127.0.0.1:8080'])).toBe(0);
    expect(out).toEqual(['ready: demo with 1 replicas, 1 hosts; pools duckdb 2 warm; http://127.0.0.1:8080']);
    expect(await run('wait --timeout 0')).toBe(1);
    expect(err[0]).toContain('not ready after 0.0 ms: duckdb has 0 of 5 warm, 2 spawning, held; hint: ');
  });

  it('apply sends the text of the file, and shows the warnings', async () => {
    const yaml = 'cluster: { name: demo }\npools: {}\n';
    writeFileSync(join(folder, 'other.yaml'), yaml);
    const requests = administer(() => ({ ok: true, configVersion: 4, isChanged: true, warnings: ['pools.duckdb.max unset'] }));
    expect(await run('apply -f other.yaml')).toBe(0);
    expect(requests).toEqual([{ type: 'apply', yaml }]);
    expect(out).toEqual(['configuration 4 is applied\npools.duckdb.max unset']);
  });

  it("shows a replica's refusal with its field", async () => {
    administer(() => ({ ok: false, error: { code: 'not-found', message: 'there is no pool nope', field: 'pool' } }));
    expect(await run('hold nope --json')).toBe(1);
    expect(JSON.parse(out.join(''))).toMatchObject({ ok: false, error: { code: 'not-found', field: 'pool' } });
    expect(err).toEqual(['muster: there is no pool nope']);
  });
});
