// The link under TLS, with an authority of one's own, as deploy/nats/make-certificates makes it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import type { NatsTls } from '@muster/protocol';
import { natsServerBinaries, startNatsServer, type TempDir, tempDir } from '@muster/testkit';
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

describe.each(natsServerBinaries())('nats-server $version', ({ path }) => {
  const config = (verify: boolean): string => {
    const block = { cert_file: file('server.pem'), key_file: file('server.key'), ca_file: file('ca.pem'), verify };
    return `tls: ${JSON.stringify(block)}`;
  };

  it('is trusted by the authority that is named, and by no other', async () => {
    await using server = await startNatsServer({ binary: path, config: config(false) });
    await enter(server.url, { caFile: file('ca.pem') });
    await enter(server.url.replace('nats:', 'tls:'), { caFile: file('ca.pem') });
    await expect(enter(server.url)).rejects.toMatchObject({ code: 'disconnected' });
    await expect(enter(server.url, { caFile: file('ca.pem', 'theirs') })).rejects.toMatchObject({ code: 'disconnected' });
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
    await expect(enter(server.url, { caFile: file('ca.pem') })).rejects.toMatchObject({ code: 'disconnected' });
    const others = { ...own, certFile: file('client.pem', 'theirs'), keyFile: file('client.key', 'theirs') };
    await expect(enter(server.url, others)).rejects.toMatchObject({ code: 'disconnected' });
  });

  it('is not taken for encrypted where it is not', async () => {
    await using server = await startNatsServer({ binary: path });
    await expect(enter(server.url, { caFile: file('ca.pem') })).rejects.toMatchObject({ code: 'disconnected' });
  });
});
