import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { MemoryLogger, MemoryMetrics, SystemClock, SystemRandom } from '@muster/ports';
import { type ActorAnswer, type Runtime, startRuntime } from '@muster/runtime';
import { eventually, isStopped, natsServerBinaries, startNatsWorld } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { account, bank } from './bank/bank.ts';

const REPLICA = fileURLToPath(new URL('./bank/replica.ts', import.meta.url));
const ACCOUNTS = ['ada', 'bob', 'cyd'];
const CLIENTS = 24;

class ReplicaProcess implements AsyncDisposable {
  readonly name: string;
  readonly child: ChildProcess;

  constructor(name: string, url: string) {
    this.name = name;
    this.child = spawn(process.execPath, [REPLICA, name, url], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill(signal);
    this.child.kill('SIGCONT');
    await exited;
  }

  /** Resolves when it stands. */
  async pause(): Promise<void> {
    this.child.kill('SIGSTOP');
    await eventually(() => isStopped(this.child.pid ?? 0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}

/** What was acknowledged, by account. */
class Ledger {
  readonly expected = new Map<string, number>(ACCOUNTS.map((id) => [id, 0]));
  acknowledged = 0;
  lowest = 0;

  /** Deposits and withdrawals with ids of their own, each asked until it is answered, until `isOver`. */
  async run(runtime: Runtime, client: number, isOver: () => boolean): Promise<void> {
    for (let n = 0; !isOver(); n++) {
      const id = ACCOUNTS[(client + n) % ACCOUNTS.length] ?? '';
      const amount = 1 + ((client * 7 + n) % 9);
      const type = n % 3 === 0 ? 'deposit' : 'withdraw';
      const answer = await untilAnswered(runtime, id, { type, amount }, `${client}-${n}`);
      if (!answer.ok) throw new Error(answer.error.message);
      this.acknowledged += 1;
      if (!answer.isAccepted) continue;
      this.expected.set(id, (this.expected.get(id) ?? 0) + (type === 'deposit' ? amount : -amount));
      this.lowest = Math.min(this.lowest, answer.reply as number);
    }
  }
}

async function untilAnswered(runtime: Runtime, id: string, event: unknown, request: string): Promise<ActorAnswer> {
  for (;;) {
    try {
      const { value } = await runtime.ask('bank', { to: `account/${id}`, event }, { timeoutMs: 5_000, id: request });
      return value as ActorAnswer;
    } catch (error) {
      if ((error as { readonly code?: string }).code !== 'timeout') throw error;
    }
  }
}

it('is the example of the package: its README shows this code', async () => {
  const [readme, code] = await Promise.all(
    ['../../packages/runtime/README.md', './bank/bank.ts'].map((path) => readFile(new URL(path, import.meta.url), 'utf8')),
  );
  expect(readme).toContain(code?.split('\n').slice(1).join('\n').trim());
});

describe.each(natsServerBinaries())('a bank of three processes on nats-server $version', ({ path }) => {
  it('loses nothing and pays nothing twice while its owner is killed again and again', async () => {
    await using world = await startNatsWorld({ binary: path });
    await using replicas = new AsyncDisposableStack();
    const running = new Map<string, ReplicaProcess>();
    const start = (name: string): void => void running.set(name, replicas.use(new ReplicaProcess(name, world.server.url)));

    // A fourth one in this process, which owns nothing: it defines no shard.
    const nats = await world.connect('client');
    const { journal } = await nats.openClusterStore({ cluster: 'bank' });
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: new MemoryLogger(), metrics: new MemoryMetrics() };
    const client = await startRuntime({ replica: 'client', cluster: 'bank', bus: nats.bus, journal, ...tools });
    replicas.defer(() => client.stop(0));
    const owner = () => client.shadow('bank')?.owner ?? '';
    const balances = () =>
      Object.fromEntries(ACCOUNTS.map((id) => [id, client.shadow('bank')?.get(account, id)?.value.context['balance']]));

    for (const name of ['a', 'b', 'c']) start(name);
    await eventually(() => owner() !== '', { timeoutMs: 60_000 });
    await eventually(() => client.replicas().filter(({ isAlive }) => isAlive).length === 4, { timeoutMs: 60_000 });

    const ledger = new Ledger();
    let isOver = false;
    const load = Promise.all(Array.from({ length: CLIENTS }, (_, n) => ledger.run(client, n, () => isOver)));
    const outages: number[] = [];
    for (const how of ['SIGKILL', 'SIGKILL', 'SIGTERM'] as const) {
      const before = ledger.acknowledged;
      await eventually(() => ledger.acknowledged > before + 500, { timeoutMs: 60_000 });
      const victim = owner();
      const startedAtMs = tools.clock.monotonicMs();
      await running.get(victim)?.end(how);
      await eventually(() => owner() !== victim, { timeoutMs: 60_000 });
      outages.push(Math.round(tools.clock.monotonicMs() - startedAtMs));
      const after = ledger.acknowledged;
      await eventually(() => ledger.acknowledged > after + 200, { timeoutMs: 60_000 });
      start(victim);
    }
    isOver = true;
    await load;

    expect(ledger.lowest).toBe(0);
    await eventually(() => expect(balances()).toEqual(Object.fromEntries(ledger.expected)));
    // One that is started now reads the same from the journal.
    const reader = await startRuntime({ replica: 'reader', cluster: 'bank', bus: nats.bus, journal, ...tools });
    replicas.defer(() => reader.stop(0));
    reader.define([{ ...bank, shard: 'unused' }]);
    await eventually(() => expect(reader.shadow('bank')?.get(account, 'ada')?.value.context['balance']).toBe(ledger.expected.get('ada')));
    expect(outages).toHaveLength(3);
  });

  it('answers nothing from an owner that stood still (G3)', async () => {
    await using world = await startNatsWorld({ binary: path });
    await using replicas = new AsyncDisposableStack();
    const nats = await world.connect('client');
    const { journal } = await nats.openClusterStore({ cluster: 'bank' });
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: new MemoryLogger(), metrics: new MemoryMetrics() };
    const client = await startRuntime({ replica: 'client', cluster: 'bank', bus: nats.bus, journal, ...tools });
    replicas.defer(() => client.stop(0));
    const first = replicas.use(new ReplicaProcess('a', world.server.url));
    await eventually(() => client.shadow('bank')?.owner === 'a', { timeoutMs: 60_000 });
    const second = replicas.use(new ReplicaProcess('b', world.server.url));
    await eventually(() => client.replicas().filter(({ isAlive }) => isAlive).length === 3, { timeoutMs: 60_000 });
    await untilAnswered(client, 'ada', { type: 'deposit', amount: 5 }, 'one');

    // The first, unless it has stood still before.
    const [owner, other] = client.shadow('bank')?.owner === 'a' ? [first, second] : [second, first];
    await owner.pause();
    const request = (id: string) =>
      nats.bus.request(
        'muster.v1.shard.bank.cmd',
        Buffer.from(JSON.stringify({ v: 1, id, deadlineMs: 60_000, body: { to: 'account/ada', event: { type: 'deposit', amount: 1 } } })),
        { timeoutMs: 60_000 },
      );
    const asked = Promise.all([request('one'), request('two')]);
    await eventually(() => client.shadow('bank')?.owner === other.name, { timeoutMs: 60_000 });
    expect(await untilAnswered(client, 'ada', { type: 'deposit', amount: 10 }, 'three')).toMatchObject({ reply: 15 });
    owner.child.kill('SIGCONT');
    for (const { data } of await asked) {
      expect(JSON.parse(Buffer.from(data).toString())).toMatchObject({ error: { code: 'retry-elsewhere' } });
    }
    expect(await untilAnswered(client, 'ada', { type: 'deposit', amount: 1 }, 'four')).toMatchObject({ reply: 16 });
  });
});
