import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEnvironment } from '../config.ts';
import { runMuster } from '../program.ts';

let folder: string;
let out: string[];
let err: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-access-'));
  [out, err] = [[], []];
  writeFileSync(join(folder, 'muster.yaml'), 'cluster: { name: demo }\npools: {}\n');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(line: string): Promise<number> {
  const nobody = () => Promise.reject(new Error('nobody is dialled'));
  return runMuster(line.split(' '), {
    clock: new SystemClock(),
    random: new SystemRandom(),
    logger: silentLogger,
    environment: readEnvironment({ XDG_RUNTIME_DIR: folder }),
    folder,
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    isTerminal: false,
    connect: nobody,
    dial: nobody,
    onStopSignal: () => () => undefined,
  });
}

const textOf = (name: string): string => readFileSync(join(folder, 'access', name), 'utf8');

describe('muster nats-config', () => {
  it.each(['jwt', 'nkeys', 'password'])('writes the server part and a file for each user, for nobody else to read: %s', async (auth) => {
    expect(await run(`nats-config --out access --auth ${auth} --user client-shop --json`)).toBe(0);
    const users = ['setup', 'replica', 'host', 'worker', 'client', 'observer', 'admin', 'client-shop'];
    expect(JSON.parse(out.join(''))).toMatchObject({ ok: true, cluster: 'demo', auth, users });
    const files = readdirSync(join(folder, 'access'));
    expect(files.toSorted()).toEqual(['access.conf', 'book.json', ...users.map((user) => `${user}.creds`)].toSorted());
    for (const name of files) expect(statSync(join(folder, 'access', name)).mode & 0o777, name).toBe(0o600);
    expect(statSync(join(folder, 'access')).mode & 0o777).toBe(0o700);
  });

  it.each(['jwt', 'nkeys'])('gives the server nothing that anybody could prove something with: %s', async (auth) => {
    await run(`nats-config --out access --auth ${auth}`);
    const secrets = readdirSync(join(folder, 'access')).flatMap((name) => textOf(name).match(/\bS[UAO][A-Z2-7]{56}\b/g) ?? []);
    expect(secrets.length).toBeGreaterThan(7);
    for (const secret of secrets) expect(textOf('access.conf')).not.toContain(secret);
  });

  it('keeps what it made, makes what is new, and changes what is to be rotated', async () => {
    await run('nats-config --out access --auth nkeys');
    const before = { client: textOf('client.creds'), replica: textOf('replica.creds') };
    expect(await run('nats-config --out access --user host-h1 --rotate client')).toBe(0);
    expect(textOf('replica.creds')).toBe(before.replica);
    expect(textOf('client.creds')).not.toBe(before.client);
    expect(textOf('host-h1.creds')).toContain('_INBOX_muster.host-h1');
    expect(await run('nats-config --out access --rotate client')).toBe(1);
    expect(err.at(-1)).toContain('retire');
    expect(await run('nats-config --out access --retire --rotate client')).toBe(0);
  });

  it.each([
    ['nats-config', "required option '--out"],
    ['nats-config --out access --auth none', 'jwt, nkeys, password'],
    ['nats-config --out access --user king', 'must begin with one of'],
    ['nats-config --out access --user replica-1', 'replica has no name'],
    ['nats-config --out access --cluster De/mo', 'lower case letters'],
  ])('refuses %s', async (line, said) => {
    expect(await run(line)).toBe(2);
    expect(err.join('\n')).toContain(said);
  });

  it('does not mix clusters or kinds in a folder', async () => {
    await run('nats-config --out access --auth nkeys');
    expect(await run('nats-config --out access --auth jwt')).toBe(2);
    expect(await run('nats-config --out access --cluster other')).toBe(2);
    expect(err.join('\n')).toContain('of cluster demo, not of other');
  });
});
