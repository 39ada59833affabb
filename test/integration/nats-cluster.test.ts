// The start-up gate before a whole cluster of nats-servers, as a replica meets it (DESIGN 4.1).
import { eventually, natsServerBinaries } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { SLOW, startCluster } from './support/cluster.ts';

const POOLS = { pool: { driver: 'simulated', floor: 1, worker: { memory: '1MiB' } } };
const isFit = (version: string): boolean => new Intl.Collator('en', { numeric: true }).compare(version, '2.11.0') >= 0;
const [fit, unfit] = [true, false].map((wanted) => natsServerBinaries().filter(({ version }) => isFit(version) === wanted));

describe.each(unfit ?? [])('three nats-servers $version', (nats) => {
  it('are refused by the replica, which ends and says why', async () => {
    const refused = startCluster({ nats, servers: 3, replicas: 1, host: 'none', pools: POOLS, isShared: true });
    await expect(refused).rejects.toThrow(
      new RegExp(`nats-server ${nats.version} is part of a cluster .*more than one conditional write win.* 2\\.11\\.0 is the least`),
    );
  });
});

describe.each(fit ?? [])('three nats-servers $version', (nats) => {
  it('hold the journals in three copies, and the cluster runs on them', async () => {
    await using cluster = await startCluster({ nats, servers: 3, replicas: 2, pools: POOLS });
    await cluster.warm('pool', 1);
    // Nobody answers while the servers choose a leader.
    await eventually(async () => {
      const message = await cluster.bus.request('$JS.API.STREAM.INFO.MUSTER_test', new Uint8Array(0), { timeoutMs: 5_000 });
      expect(JSON.parse(new TextDecoder().decode(message.data))).toMatchObject({ config: { num_replicas: 3 } });
    }, SLOW);
    expect(await cluster.reserve('pool', { org: 'acme', requestId: 'one' })).toMatchObject({ ok: true });
  });
});
