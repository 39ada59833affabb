// The whole product where everybody may do the least that it needs: nothing that a replica, a host, a worker or a client does
// in its life, troubles included, is refused by NATS.
import { readFileSync } from 'node:fs';
import { eventually, natsServerBinaries } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { query } from './support/queries.ts';

const matrix = natsServerBinaries().flatMap(({ path, version }) =>
  (['jwt', 'nkeys'] as const).map((access) => ({ path, version, access })),
);

describe.each(matrix)('a cluster with $access on nats-server $version', ({ path, version, access }) => {
  it('reserves, survives its replicas, its host and NATS, and hands over, with nothing refused', async () => {
    await using cluster = await startCluster({
      replicas: 2,
      host: 'process',
      nats: { path, version },
      access,
      pools: { duckdb: duckdbPool({ floor: 1 }) },
    });
    await cluster.warm('duckdb', 1);
    await using client = await cluster.client();
    await using reservation = await client.reserve('duckdb', { org: 'acme', waitMs: 20_000, ttlMs: 5_000 });
    expect(await query(reservation, 'SELECT 42')).toEqual([[42]]);
    await cluster.warm('duckdb', 1, 1);

    const { owner } = await cluster.shard('duckdb');
    await cluster.killReplica(owner);
    await using second = await client.reserve('duckdb', { org: 'other', waitMs: 20_000 });
    expect(await query(second, 'SELECT 43')).toEqual([[43]]);
    await cluster.host.kill();
    await cluster.startHost('process');
    await cluster.startReplica();
    await cluster.warm('duckdb', 1, 2);

    await cluster.nats.restart();
    await cluster.warm('duckdb', 1, 2);
    // Renewed again and again, also by the owner that came after: its lease is long over otherwise.
    expect(reservation.lostReason).toBeUndefined();
    const { owner: last } = await cluster.shard('duckdb');
    expect(await cluster.stopReplica(last)).toBe(0);
    await second.release();
    await eventually(async () => {
      const states = (await cluster.slots('duckdb')).map(({ state }) => state).sort();
      expect(states).toEqual(['reserved.active', 'reserved.parked', 'warm']);
    }, SLOW);
    expect(cluster.log).not.toContain('NATS does not permit');
  });

  it('gives each worker credentials, its own where there are such', async () => {
    await using cluster = await startCluster({
      replicas: 1,
      host: 'process',
      nats: { path, version },
      access,
      pools: { duckdb: duckdbPool({ floor: 2 }) },
    });
    await cluster.warm('duckdb', 2);
    const given = cluster.workerPids().map((pid) => readFileSync(`/proc/${pid}/environ`, 'utf8'));
    const credentials = new Set(given.map((text) => /MUSTER_NATS_CREDS=([^\0]*)/.exec(text)?.[1]));
    expect(credentials.size).toBe(access === 'jwt' ? 2 : 1);
    expect([...credentials].every((text) => text?.includes('SEED'))).toBe(true);
  });
});
