// What the `nats` command line sends, and what comes back, for the commands of docs/guide/nats.md: it is not to be had from
// Debian or npm, and these are the requests that its source makes. Without credentials it is whoever comes without any.
import { join } from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';
import { connectNats } from '@muster/nats';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { PlainNats } from '../../integration/support/plain-nats.ts';

/** How long answers are collected where nobody knows how many come. */
const COLLECT_MS = 1_000;

/** Where the cluster is, and the folder from which its files are named. */
export interface Place {
  readonly port: number;
  readonly folder: string;
}

/** `nats a 'b c' --d e` as its words. */
export function wordsOf(command: string): readonly string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

/** Runs one; `meanwhile` is done once it listens. @returns what it shows */
export async function natsCommand(at: Place, command: string, meanwhile: () => Promise<unknown> = async () => undefined): Promise<unknown> {
  const [program, verb, ...rest] = wordsOf(command);
  if (program !== 'nats') throw new Error(`${command}: not a command of nats`);
  const option = (name: string): string | undefined => rest[rest.indexOf(name) + 1 || rest.length];
  const given = rest.filter((word, n) => !word.startsWith('--') && (n === 0 || !TAKES_VALUE.has(rest[n - 1] ?? '')));
  const user = { creds: option('--creds'), inboxPrefix: option('--inbox-prefix') };
  const ask = (subject: string, body = ''): Promise<unknown> => request(at, user, subject, body);
  switch (`${verb} ${verb === 'req' || verb === 'sub' ? '' : given[0]}`.trim()) {
    case 'req':
      return ask(given[0] ?? '', given[1]);
    case 'sub':
      return heard(at, given[0] ?? '', meanwhile);
    case 'micro ls':
      return collected(at, '$SRV.INFO');
    case 'micro stats':
      return collected(at, `$SRV.STATS.${given[1]}`);
    case 'kv get': {
      // The bucket first, as every client looks whether it is one; then the value, from whoever has a copy.
      const bucket = (await ask(`$JS.API.STREAM.INFO.KV_${given[1]}`)) as { readonly config?: { readonly name?: string } };
      if (bucket.config?.name !== `KV_${given[1]}`) throw new Error(JSON.stringify(bucket));
      return ask(`$JS.API.DIRECT.GET.KV_${given[1]}.$KV.${given[1]}.${given[2]}`);
    }
    case 'stream info':
      return ask(`$JS.API.STREAM.INFO.${given[1]}`);
    case 'stream get': {
      const found = await ask(`$JS.API.STREAM.MSG.GET.${given[1]}`, JSON.stringify({ last_by_subj: option('--last-for') }));
      return (found as { readonly message?: unknown }).message;
    }
    default:
      throw new Error(`${command}: its requests are not known here`);
  }
}

const TAKES_VALUE = new Set(['--creds', '--inbox-prefix', '--timeout', '--count', '--last-for']);

interface User {
  readonly creds: string | undefined;
  readonly inboxPrefix: string | undefined;
}

async function request({ port, folder }: Place, { creds, inboxPrefix }: User, subject: string, body: string): Promise<unknown> {
  if (creds === undefined) {
    await using plain = await PlainNats.connect(port);
    return await plain.request(subject, body);
  }
  const nats = await connectNats({
    servers: [`nats://127.0.0.1:${port}`],
    name: 'nats-guide',
    clock: new SystemClock(),
    random: new SystemRandom(),
    logger: silentLogger,
    credentials: { kind: 'file', path: join(folder, creds) },
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  });
  try {
    const answer = await nats.bus.request(subject, new TextEncoder().encode(body), { timeoutMs: 10_000 });
    return JSON.parse(new TextDecoder().decode(answer.data));
  } finally {
    await nats.close();
  }
}

async function collected({ port }: Place, subject: string): Promise<readonly unknown[]> {
  await using plain = await PlainNats.connect(port);
  const answers: unknown[] = [];
  plain.ask(subject, '', (text) => answers.push(JSON.parse(text)));
  await passed(COLLECT_MS);
  return answers;
}

async function heard({ port }: Place, subject: string, meanwhile: () => Promise<unknown>): Promise<unknown> {
  await using plain = await PlainNats.connect(port);
  const { promise, resolve } = Promise.withResolvers<unknown>();
  plain.subscribe(subject, ({ text }) => resolve(JSON.parse(text)));
  await meanwhile();
  return await promise;
}
