import { encode, type RenewAnswer, subjects } from '@muster/protocol';
import { describe, expect, it } from 'vitest';
import { elsewhere, grant, makeCluster, type Received, type Script } from './fake-shard.ts';

const renewed = ({ body }: Received, ttlMs = 6_000): { epoch: number; answer: RenewAnswer } => {
  if (body.type !== 'renew' && body.type !== 'release') throw new Error(`not a list: ${body.type}`);
  return { epoch: 1, answer: { ok: true, results: body.reservations.map(({ id }) => ({ id, ok: true, ttlMs })) } };
};

/** Grants a new reservation for each reserve, and leaves the rest to the script. */
function granting(rest: Script): Script {
  let granted = 0;
  return (received, nth) => {
    if (received.body.type !== 'reserve') return rest(received, nth);
    granted += 1;
    return { epoch: 1, answer: grant(`duckdb-s${granted}_1`) };
  };
}

async function reserveOne(rest: Script) {
  const cluster = makeCluster();
  cluster.own('duckdb', granting(rest));
  const reservation = await cluster.clock.resolve(cluster.client.reserve('duckdb', { org: 'acme' }));
  return { ...cluster, reservation };
}

describe('renewals', () => {
  it('N1: go out at a third of the ttl, those of one shard in one message', async () => {
    const cluster = makeCluster();
    cluster.own(
      'duckdb',
      granting((received) => renewed(received)),
    );
    for (let n = 0; n < 3; n++) await cluster.clock.resolve(cluster.client.reserve('duckdb', { org: 'acme' }));
    await cluster.clock.run(6_500);
    const renewals = cluster.of('renew');
    expect(renewals.map(({ atMs }) => Math.round(atMs / 100) / 10)).toEqual([2, 4, 6]);
    for (const { body } of renewals) {
      expect(body).toMatchObject({ reservations: [1, 2, 3].map((n) => ({ id: `duckdb-s${n}_1`, epoch: 1 })) });
    }
    await cluster.client.close();
  });

  it('follow the ttl of the last answer', async () => {
    const { clock, of, client } = await reserveOne((received) => renewed(received, 30_000));
    await clock.run(13_000);
    expect(of('renew').map(({ atMs }) => atMs)).toEqual([2_000, 12_000]);
    await client.close();
  });

  it('N2: unanswered ones are sent again for as long as it is held, and are never a loss', async () => {
    let isSilent = true;
    const { clock, of, client, reservation, logger } = await reserveOne((received) => (isSilent ? undefined : renewed(received)));
    let lost: string | undefined;
    reservation.onLost((reason) => {
      lost = reason;
    });
    await clock.run(60_000);
    expect(lost).toBeUndefined();
    expect(of('renew').length).toBeGreaterThan(20);
    expect(logger.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    isSilent = false;
    await clock.run(5_000);
    expect(reservation.lostReason).toBeUndefined();
    const before = of('renew').length;
    await clock.run(12_000);
    expect(of('renew').length - before).toBe(6);
    await client.close();
  });

  it('N2: an answer that says ended is a loss, and the others of the message go on', async () => {
    const cluster = makeCluster();
    const ended = { id: 'duckdb-s1_1', ok: false, error: { code: 'ended', message: 'it has ended', reason: 'worker-lost' } };
    cluster.own(
      'duckdb',
      granting((received) => {
        const { answer } = renewed(received);
        if (!answer.ok) throw new Error('renewed answers ok');
        return { epoch: 1, answer: { ok: true, results: answer.results.map((one) => (one.id === ended.id ? ended : one)) } };
      }),
    );
    const one = await cluster.clock.resolve(cluster.client.reserve('duckdb', { org: 'acme' }));
    const other = await cluster.clock.resolve(cluster.client.reserve('duckdb', { org: 'acme' }));
    expect(await cluster.clock.resolve(one.lost)).toBe('worker-lost');
    expect(one.lostReason).toBe('worker-lost');
    expect(other.lostReason).toBeUndefined();
    await cluster.clock.run(2_500);
    expect(cluster.of('renew').at(-1)?.body).toMatchObject({ reservations: [{ id: 'duckdb-s2_1' }] });
    await cluster.client.close();
  });

  it('an error that does not say so is no loss', async () => {
    const refused = { epoch: 1, error: { code: 'overloaded', message: 'full' } };
    const { clock, client, reservation, of } = await reserveOne(() => refused);
    await clock.run(10_000);
    expect(reservation.lostReason).toBeUndefined();
    expect(of('renew').length).toBeGreaterThan(5);
    await client.close();
  });

  it('end with the client', async () => {
    const { clock, client, of } = await reserveOne((received) => renewed(received));
    await client.close();
    await clock.run(10_000);
    expect(of('renew')).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('lost', () => {
  it('comes from the news of the reservation, once, also to those who ask later', async () => {
    const { clock, reservation, server, client, of } = await reserveOne((received) => renewed(received));
    const reasons: string[] = [];
    reservation.onLost((reason) => reasons.push(reason));
    const away = reservation.onLost(() => reasons.push('taken away'));
    away();
    const news = encode({ type: 'lost', reason: 'worker-lost' });
    server.publish(subjects.reservationLost(reservation.id), news);
    server.publish(subjects.reservationLost(reservation.id), news);
    await clock.run(10);
    expect(reasons).toEqual(['worker-lost']);
    expect(await reservation.lost).toBe('worker-lost');
    await clock.run(10_000);
    expect(of('renew')).toHaveLength(0);
    await reservation.release();
    expect(of('release')).toHaveLength(0);
    await client.close();
  });
});

describe('release', () => {
  it('tells the shard once, ends the renewals, and is what `await using` does', async () => {
    const cluster = makeCluster();
    cluster.own(
      'duckdb',
      granting((received) => renewed(received)),
    );
    const using = async () => {
      await using reservation = await cluster.client.reserve('duckdb', { org: 'acme' });
      return reservation;
    };
    const reservation = await cluster.clock.resolve(using());
    expect(cluster.of('release').map(({ body }) => body)).toEqual([{ type: 'release', reservations: [{ id: reservation.id, epoch: 1 }] }]);
    await reservation.release();
    await cluster.clock.run(10_000);
    expect(cluster.of('release')).toHaveLength(1);
    expect(cluster.of('renew')).toHaveLength(0);
  });

  it('is tried again until it is heard; one that has ended already is success', async () => {
    const ended = (code: string) => ({
      epoch: 1,
      answer: { ok: true, results: [{ id: 'duckdb-s1_1', ok: false, error: { code, message: '' } }] },
    });
    let tries = 0;
    const { clock, reservation } = await reserveOne(() => (tries++ < 2 ? elsewhere : ended('stale-epoch')));
    await clock.resolve(reservation.release());
    expect(tries).toBe(3);
    const other = await reserveOne(() => ended('unauthorized'));
    await expect(other.clock.resolve(other.reservation.release())).rejects.toMatchObject({ code: 'unauthorized' });
  });
});
