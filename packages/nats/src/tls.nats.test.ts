// The link under TLS, with an authority of one's own, as deploy/nats/make-certificates makes it.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MemoryLogger, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import type { NatsTls } from '@muster/protocol';
import { eventually, natsServerBinaries, startNatsServer, type TempDir, tempDir } from '@muster/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats } from './connect-nats.ts';

const MAKE = fileURLToPath(new URL('../../../deploy/nats/make-certificates', import.meta.url));
const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };

let folder: TempDir;
beforeAll(async () => {
  folder = await tempDir();
  for (const name of ['ours', 'theirs']) execFileSync(MAKE, [join(folder.path, name), 'nats', '127.0.0.1'], { stdio: 'pipe' });
  execFileSync(MAKE, [join(folder.path, 'elsewhere'), 'nats', 'localhost', '192.0.2.1'], { stdio: 'pipe' });
});
afterAll(() => folder[Symbol.asyncDispose]());

const file = (name: string, of = 'ours'): string => join(folder.path, of, name);

async function enter(url: string, tls?: NatsTls): Promise<void> {
  const nats = await connectNats({ servers: [url], name: 'test', ...tools, ...(tls === undefined ? {} : { tls }) });
  await nats.bus.flush();
  await nats.close();
}

it('says that it needs openssl where there is none', () => {
  const { status, stderr } = spawnSync('/bin/sh', [MAKE, join(folder.path, 'none'), 'nats'], {
    env: { PATH: '/nowhere' },
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([1, expect.stringContaining('make-certificates: openssl is missing')]);
});

describe.each(natsServerBinaries())('nats-server $version', ({ path }) => {
  const config = (verify: boolean): string => {
    const block = { cert_file: file('server.pem'), key_file: file('server.key'), ca_file: file('ca.pem'), verify };
    return `tls: ${JSON.stringify(block)}`;
  };

  it('is trusted by the authority that is named, and by no other', async () => {
    await using server = await startNatsServer({ binary: path, config: config(false) });
    await enter(server.url, { caFile: file('ca.pem') });
    await enter(server.url.replace('nats:', 'tls:'), { caFile: file('ca.pem') });
    await expect(enter(server.url)).rejects.toMatchObject({ code: 'disconnected', field: 'nats.tls.ca' });
    const others = file('ca.pem', 'theirs');
    await expect(enter(server.url, { caFile: others })).rejects.toMatchObject({
      code: 'disconnected',
      field: 'nats.tls.ca',
      message: `NATS at ${server.url}: its certificate is not signed by that of ${others}`,
    });
    await expect(enter(server.url, { caFile: '/nowhere.pem' })).rejects.toThrow('/nowhere.pem');
  });

  it('is waited for, and why is in the log; the right file in its place is taken up', async () => {
    await using server = await startNatsServer({ binary: path, config: config(false) });
    await using own = await tempDir();
    const caFile = join(own.path, 'ca.pem');
    copyFileSync(file('ca.pem', 'theirs'), caFile);
    const logger = new MemoryLogger();
    const waiting = connectNats({ servers: [server.url], name: 'test', ...tools, logger, tls: { caFile }, waitOnFirstConnect: true });
    // Of a server that stands still it is said before that it does not answer.
    await eventually(
      () => {
        const said = logger.lines.filter(({ message }) => message === 'NATS is not reached yet').at(-1);
        expect(said?.fields).toMatchObject({
          code: 'disconnected',
          field: 'nats.tls.ca',
          reason: expect.stringContaining('is not signed by'),
        });
      },
      { timeoutMs: 120_000 },
    );
    copyFileSync(file('ca.pem'), caFile);
    await (await waiting).close();
  });

  it('must be for the address that was asked for', async () => {
    const block = { cert_file: file('server.pem', 'elsewhere'), key_file: file('server.key', 'elsewhere') };
    await using server = await startNatsServer({ binary: path, config: `tls: ${JSON.stringify(block)}` });
    await expect(enter(server.url, { caFile: file('ca.pem', 'elsewhere') })).rejects.toThrow(/altnames/);
  });

  it('may want a certificate of its clients', async () => {
    await using server = await startNatsServer({ binary: path, config: config(true) });
    const own = { caFile: file('ca.pem'), certFile: file('client.pem'), keyFile: file('client.key') };
    await enter(server.url, own);
    const others = { ...own, certFile: file('client.pem', 'theirs'), keyFile: file('client.key', 'theirs') };
    // The server does not say why it does not answer: each takes as long as a dial may.
    await Promise.all([
      expect(enter(server.url, { caFile: file('ca.pem') })).rejects.toMatchObject({ code: 'disconnected', field: 'nats.tls.cert' }),
      expect(enter(server.url, others)).rejects.toMatchObject({ code: 'disconnected' }),
    ]);
  });

  it('is not taken for encrypted where it is not', async () => {
    await using server = await startNatsServer({ binary: path });
    const refusal = { code: 'disconnected', field: 'nats.tls' };
    await expect(enter(server.url, { caFile: file('ca.pem') })).rejects.toMatchObject(refusal);
    await expect(enter(server.url.replace('nats:', 'tls:'))).rejects.toMatchObject(refusal);
  });
});
