import { describe, expect, it } from 'vitest';
import { workerIdentityFromEnv } from './config.ts';

const ENV = {
  MUSTER_NATS_URL: 'nats://a:4222,nats://b:4222',
  MUSTER_CLUSTER: 'demo',
  MUSTER_SLOT: 'duckdb-a1',
  MUSTER_SHARD: 'duckdb',
  MUSTER_TOKEN: 't',
};

describe('workerIdentityFromEnv', () => {
  it('reads what the worker proves to NATS who it is with, and whom it trusts', () => {
    const env = { ...ENV, MUSTER_NATS_CREDS: 'of its own', MUSTER_NATS_CA_FILE: '/ca.pem' };
    expect(workerIdentityFromEnv(env).nats).toEqual({ credentials: { kind: 'creds', contents: 'of its own' }, tls: { caFile: '/ca.pem' } });
  });

  it('reads who the worker is and where NATS is', () => {
    expect(workerIdentityFromEnv(ENV)).toEqual({
      servers: ['nats://a:4222', 'nats://b:4222'],
      nats: {},
      identity: { cluster: 'demo', slot: 'duckdb-a1', shard: 'duckdb', token: 't' },
    });
  });

  it.each(Object.keys(ENV))('says that %s is missing', (name) => {
    expect(() => workerIdentityFromEnv({ ...ENV, [name]: '' })).toThrow(expect.objectContaining({ code: 'bad-request', field: name }));
  });
});
