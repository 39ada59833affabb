// Secrets are changed while servers and programs run: the old and the new one are both good until the old one is retired.
import { writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { isMusterError } from '@muster/protocol';
import { eventually, natsServerBinaries, startNatsServer, tempDir } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { connectNats, type NatsConnected } from '../connect-nats.ts';
import {
  ACCESS_KINDS,
  type AccessBook,
  newAccessBook,
  parseAccessBook,
  userNameOf,
  withRetired,
  withRotated,
  withUsers,
} from './access-book.ts';
import { type AccessFiles, makeAccessFiles } from './access-files.ts';
import { openWorkerCredentials } from './worker-credentials.ts';

const clock = new SystemClock();
const tools = { clock, random: new SystemRandom(), logger: silentLogger };
const matrix = natsServerBinaries().flatMap(({ path, version }) => ACCESS_KINDS.map((kind) => ({ path, version, kind })));
const ROLES = (['replica', 'worker', 'client'] as const).map((role) => ({ role }));

/** A connect in the middle of a reload may hang until it is given up. */
const RELOADED = { timeoutMs: 30_000 };

function enter(url: string, text: string | undefined): Promise<NatsConnected> {
  return connectNats({ servers: [url], name: 'test', credentials: { kind: 'creds', contents: text ?? '' }, ...tools });
}

/** nats-server looks for it from the folder of its own configuration, which lies beside the test's. */
function includeOf(config: string): string {
  return `include ${JSON.stringify(join('..', basename(dirname(config)), basename(config)))}`;
}

/** True where the server takes these credentials. */
async function isTaken(url: string, text: string | undefined): Promise<boolean> {
  try {
    await (await enter(url, text)).close();
    return true;
  } catch (error) {
    if (isMusterError(error, 'unauthorized')) return false;
    throw error;
  }
}

describe.each(matrix)('$kind on nats-server $version', ({ path, kind }) => {
  it('rotates the secrets of users and workers without a moment in which neither is good', async () => {
    await using folder = await tempDir();
    const config = join(folder.path, 'access.conf');
    let book = newAccessBook('demo', kind, ROLES);
    const first = await makeAccessFiles(book);
    await writeFile(config, first.server);
    await using server = await startNatsServer({ binary: path, config: includeOf(config) });
    const put = async (next: AccessBook): Promise<AccessFiles> => {
      book = next;
      const files = await makeAccessFiles(book);
      await writeFile(config, files.server);
      // An account that a server has in memory is not changed by a reload.
      if (kind === 'jwt') await server.restart();
      else process.kill(server.pid ?? 0, 'SIGHUP');
      return files;
    };
    const oldWorker = await openWorkerCredentials(first.credentials.get('worker') ?? '')('pool-a');

    const second = await put(withRotated(book, ['replica', 'worker']));
    const newWorker = await openWorkerCredentials(second.credentials.get('worker') ?? '')('pool-b');
    for (const text of [second.credentials.get('replica'), newWorker, first.credentials.get('replica'), oldWorker]) {
      await eventually(() => isTaken(server.url, text), RELOADED);
    }
    await using running = disposing(await enter(server.url, newWorker));

    const third = await put(withRetired(book, clock.wallMs()));
    for (const text of [first.credentials.get('replica'), oldWorker]) {
      await eventually(async () => !(await isTaken(server.url, text)), RELOADED);
    }
    for (const text of [third.credentials.get('replica'), third.credentials.get('client'), newWorker]) {
      expect(await isTaken(server.url, text)).toBe(true);
    }
    await eventually(() => running.nats.bus.isConnected, RELOADED);
  });

  it('takes up new credentials from their file at the next connect', async () => {
    await using folder = await tempDir();
    let book = newAccessBook('demo', kind, ROLES);
    const file = join(folder.path, 'client.creds');
    const config = join(folder.path, 'access.conf');
    const put = async (next: AccessBook): Promise<void> => {
      book = next;
      const { server, credentials } = await makeAccessFiles(book);
      await writeFile(config, server);
      await writeFile(file, credentials.get('client') ?? '');
    };
    await put(book);
    await using server = await startNatsServer({ binary: path, config: includeOf(config) });
    await using client = disposing(
      await connectNats({ servers: [server.url], name: 'test', credentials: { kind: 'file', path: file }, ...tools }),
    );
    await put(withRetired(withRotated(book, ['client']), clock.wallMs()));
    await server.restart();
    await eventually(() => client.nats.bus.isConnected, { timeoutMs: 20_000 });
    await client.nats.bus.flush();
  });

  it('is the same book when it was written and read', () => {
    const book = withRotated(withUsers(newAccessBook('demo', kind, ROLES), [{ role: 'client', name: 'shop' }]), ['client-shop']);
    expect(parseAccessBook(JSON.stringify(book))).toEqual(book);
    expect(book.users.map(userNameOf)).toEqual(['replica', 'worker', 'client', 'client-shop']);
    expect(() => withRotated(book, ['client-shop'])).toThrow(/retire/);
    expect(() => withRotated(book, ['nobody'])).toThrow(/there is no user nobody/);
    expect(withUsers(book, ROLES)).toEqual(book);
  });
});

interface Disposing extends AsyncDisposable {
  readonly nats: NatsConnected;
}
function disposing(nats: NatsConnected): Disposing {
  return { nats, [Symbol.asyncDispose]: () => nats.close() };
}
