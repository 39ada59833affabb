// NATS in containers that stand still and are cut off: what the journals rest on (guarantees G1, G3).
import { setTimeout as passed } from 'node:timers/promises';
import { connectNats } from '@muster/nats';
import { type AppendOutcome, type Journal, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { Network } from 'testcontainers';
import { describe, expect, inject, test } from 'vitest';
import { SLOW } from './support/door.ts';
import { cut, mend, pause, unpause } from './support/engine.ts';
import { type NatsContainer, startNats } from './support/nats-containers.ts';

const why = inject('whyNoEngine');
const APPEND_MS = 1_500;
const PAUSE_MS = 20;
/** Those that want to write, each by a server of its own. */
const RIVALS = 3;

/** Rivals that all write behind the last record that they know of, and what they were told. */
class Rivalry {
  /** Position → value, as it was acknowledged. */
  readonly acknowledged = new Map<number, string>();
  readonly twice: string[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[];
  #n = 0;

  constructor(journals: readonly Journal[]) {
    this.#running = journals.map((journal, rival) => this.#run(journal, rival));
  }

  /** Resolves when so many more records were acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count;
    await eventually(() => expect(this.acknowledged.size).toBeGreaterThanOrEqual(wanted), SLOW);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  async #run(journal: Journal, rival: number): Promise<void> {
    let expectedSeq = 0;
    while (!this.#stop.signal.aborted) {
      const value = `rival ${rival}, record ${++this.#n}`;
      const outcome: AppendOutcome = await journal.append('shard', encode(value), { expectedSeq, timeoutMs: APPEND_MS });
      if (outcome.kind === 'stored') {
        const before = this.acknowledged.get(outcome.seq);
        if (before !== undefined) this.twice.push(`position ${outcome.seq} went to ${before} and to ${value}`);
        this.acknowledged.set(outcome.seq, value);
        expectedSeq = outcome.seq;
      } else {
        // Who is told no at once would ask without end.
        await passed(PAUSE_MS);
        expectedSeq = (await journal.last('shard').catch(() => undefined))?.seq ?? expectedSeq;
      }
    }
  }
}

/** The journal as it is at the end, by position. */
async function readAll(journal: Journal): Promise<ReadonlyMap<number, unknown>> {
  const found = new Map<number, unknown>();
  for (let message = await journal.next('shard', 0); message !== undefined; message = await journal.next('shard', message.seq + 1)) {
    found.set(message.seq, decode(message.data));
  }
  return found;
}

async function open(servers: readonly NatsContainer[], at: number, replicas: number, resources: AsyncDisposableStack): Promise<Journal> {
  const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
  // Its own server first, then the others.
  const urls = servers.map((_, n) => servers[(at + n) % servers.length]?.url ?? '');
  const nats = await eventually(() => connectNats({ servers: urls, name: `rival ${at}`, ...tools }), SLOW);
  resources.defer(() => nats.close());
  const store = await nats.openClusterStore({ cluster: 'test', replicas, patienceMs: SLOW.timeoutMs });
  resources.defer(() => store.close());
  return store.journal;
}

/** What is lost stays lost; a server that has just come back may answer with a view that is old. */
async function assertNothingLost(rivalry: Rivalry, journal: Journal): Promise<void> {
  await rivalry.stop();
  expect(rivalry.twice).toEqual([]);
  await eventually(async () => {
    const kept = await readAll(journal);
    const lost = [...rivalry.acknowledged].filter(([seq, value]) => kept.get(seq) !== value);
    expect(lost).toEqual([]);
  }, SLOW);
}

describe.skipIf(why !== undefined)(`NATS in containers${why === undefined ? '' : `: ${why}`}`, () => {
  test('one server that stands still and goes on keeps every record, and lets one win', async () => {
    await using resources = new AsyncDisposableStack();
    const network = resources.use(await new Network().start());
    const servers = await startNats(network, 1, resources);
    const [server] = servers;
    if (server === undefined) throw new Error('no server');
    const journals = await Promise.all(Array.from({ length: RIVALS }, (_, at) => open(servers, at, 1, resources)));
    const rivalry = new Rivalry(journals);
    resources.defer(() => rivalry.stop());
    await rivalry.more(50);
    await pause(server.container);
    await eventually(async () => expect(await journals[0]?.last('shard').catch(() => 'no answer')).toBe('no answer'), SLOW);
    await unpause(server.container);
    await rivalry.more(50);
    await assertNothingLost(rivalry, await open(servers, 0, 1, resources));
  });

  test('of three, each in turn stands still or loses its cable: nothing that was acknowledged is lost, and one wins each position', async ({
    annotate,
  }) => {
    await using resources = new AsyncDisposableStack();
    const network = resources.use(await new Network().start());
    const servers = await startNats(network, 3, resources);
    const journals = await Promise.all(Array.from({ length: RIVALS }, (_, at) => open(servers, at, 3, resources)));
    const rivalry = new Rivalry(journals);
    resources.defer(() => rivalry.stop());
    await rivalry.more(50);
    for (const { name, container } of servers) {
      const pausedMs = performance.now();
      await pause(container);
      await rivalry.more(20);
      await annotate(`with ${name} standing still the next 20 records took ${Math.round(performance.now() - pausedMs)} ms`);
      await unpause(container);
      await rivalry.more(20);
      const cutMs = performance.now();
      await cut(container, network);
      await rivalry.more(20);
      await annotate(`with ${name} cut off the next 20 records took ${Math.round(performance.now() - cutMs)} ms`);
      await mend(container, network, name);
      await rivalry.more(20);
    }
    await assertNothingLost(rivalry, journals[0] ?? (await open(servers, 0, 3, resources)));
    await annotate(`${rivalry.acknowledged.size} records`);
  });
});
