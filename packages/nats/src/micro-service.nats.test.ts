import { encode } from '@muster/protocol';
import { eventually, natsServerBinaries, startNatsWorld } from '@muster/testkit';
import { Svcm } from '@nats-io/services';
import { connect } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';

describe.each(natsServerBinaries())('the micro service on nats-server $version', ({ path }) => {
  test("reads as the vendor's own: the discovery that nats micro is built on finds every instance", async () => {
    await using world = await startNatsWorld({ binary: path });
    for (const name of ['one', 'two', 'three']) {
      const { bus } = await world.connect(name);
      const endpoint = {
        name: 'reserve',
        subject: 'muster.v1.reserve.*',
        handler: (message: { respond(data: Uint8Array): void }) => message.respond(encode(name)),
      };
      await bus.serve({ name: 'muster', version: '0.1.0', description: 'Warm workers.', endpoints: [endpoint] });
    }
    const looker = await connect({ servers: world.server.url });
    try {
      for (let at = 0; at < 30; at++) await looker.request('muster.v1.reserve.duckdb', '', { timeout: 20_000 });
      const client = new Svcm(looker).client({ strategy: 'timer', maxWait: 500 });
      // Answers are collected for a while, and one that stands still in it is not among them.
      const all = <T>(ask: () => Promise<AsyncIterable<T>>): Promise<T[]> =>
        eventually(async () => {
          const answers = await Array.fromAsync(await ask());
          expect(answers.length).toBeGreaterThanOrEqual(3);
          return answers;
        });
      const pings = await all(() => client.ping());
      expect(pings.map(({ name, version }) => [name, version])).toEqual(Array(3).fill(['muster', '0.1.0']));
      expect(new Set(pings.map(({ id }) => id)).size).toBe(3);
      const infos = await all(() => client.info('muster'));
      expect(infos.map(({ description }) => description)).toEqual(Array(3).fill('Warm workers.'));
      const stats = await all(() => client.stats('muster'));
      const counts = stats.map(({ endpoints }) => endpoints?.[0]?.num_requests ?? 0);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(30);
      const [busy] = stats.filter(({ endpoints }) => (endpoints?.[0]?.num_requests ?? 0) > 0);
      expect(busy?.endpoints?.[0]?.processing_time).toBeGreaterThan(0);
      expect(busy?.endpoints?.[0]?.average_processing_time).toBeGreaterThan(0);
    } finally {
      await looker.close();
    }
  });
});
