// The doctor on real servers that are wrong, each in its way: it names what is wrong, and what mends it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNats, makeAccessFiles, newAccessBook } from '@muster/nats';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { encode, subjects } from '@muster/protocol';
import { freePort, natsServerBinaries, startKubernetesDouble, startNatsServer, type TestNatsServer, tempDir } from '@muster/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NatsTarget } from '../cluster/find-servers.ts';
import { readEnvironment } from '../config.ts';
import { runMuster } from '../program.ts';
import type { Finding } from './finding.ts';

const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
const GOOD = 'cluster: { name: demo }\npools: { duckdb: { driver: simulated } }\n';
const NOWHERE = 'nats://127.0.0.1:1';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-doctor-'));
  writeFileSync(join(folder, 'muster.yaml'), GOOD);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function doctor(
  line: string,
  more: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly findings: readonly Finding[]; readonly err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const dial = ({ servers, access }: NatsTarget) => connectNats({ servers, name: 'doctor', ...tools, ...access });
  const code = await runMuster(`doctor --json ${line}`.trim().split(' '), {
    ...tools,
    environment: readEnvironment({ XDG_RUNTIME_DIR: folder, ...more }),
    folder,
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    isTerminal: false,
    connect: async (target) => (await dial(target)).bus,
    dial,
    onStopSignal: () => () => undefined,
  });
  const { findings = [] } = JSON.parse(out.join('') || '{}') as { findings?: readonly Finding[] };
  return { code, findings, err: err.join('\n') };
}

async function setUp(server: TestNatsServer): Promise<void> {
  const nats = await connectNats({ servers: [server.url], name: 'setup', ...tools });
  (await nats.openClusterStore({ cluster: 'demo' })).close();
  await nats.close();
}

/** The one finding of this check; every problem says what to do. */
function only(findings: readonly Finding[], check: string): Finding {
  for (const { level, mend } of findings) if (level === 'problem') expect(mend).toBeDefined();
  const found = findings.filter((one) => one.check === check);
  expect(found, check).toHaveLength(1);
  return found[0] as Finding;
}

describe('without a server', () => {
  it('names every problem of a configuration', async () => {
    writeFileSync(join(folder, 'muster.yaml'), 'cluster: { name: demo }\npools: { duckdb: { driver: process, floor: -1 } }\n');
    const { code, findings } = await doctor(`--nats ${NOWHERE}`);
    expect(code).toBe(1);
    expect(findings.map(({ area, level }) => `${area} ${level}`)).toEqual(['configuration problem', 'configuration problem']);
    expect(findings.map(({ says }) => says).join()).toMatch(/floor.*worker\.command/);
    expect((await doctor('--config nowhere.yaml')).findings[0]).toMatchObject({ level: 'problem', mend: 'name another with --config' });
  });

  it('warns of what is probably not meant, and says that nobody answers', async () => {
    writeFileSync(join(folder, 'muster.yaml'), 'cluster: { name: demo }\npools: { duckdb: { driver: simulated, floor: 5, max: 3 } }\n');
    const { code, findings } = await doctor(`--nats ${NOWHERE}`);
    expect(code).toBe(1);
    expect(findings.map(({ level }) => level)).toEqual(['ok', 'warning', 'problem']);
    expect(only(findings, 'connection').says).toContain(NOWHERE);
  });
});

it('looks at the Kubernetes API of pools of pods, and names the rights that are missing', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['workers'] });
  const look = async (token: string) => {
    const kubeconfig = join(folder, 'kubeconfig');
    await double.writeKubeconfig(kubeconfig, { token });
    const pod = '{ spec: { containers: [{ name: worker, image: worker }] } }';
    const connection = `kubernetes: { kubeconfig: ${kubeconfig}, namespace: workers }`;
    writeFileSync(
      join(folder, 'muster.yaml'),
      `${GOOD}${connection}\n`.replace('driver: simulated', `driver: kubernetes, podTemplate: ${pod}`),
    );
    return (await doctor(`--nats ${NOWHERE}`)).findings.filter(({ area }) => area === 'kubernetes');
  };
  expect((await look(double.adminToken)).map(({ check, level }) => `${check} ${level}`)).toEqual(['version ok', 'rights ok']);
  expect(only(await look(double.addUser('stranger')), 'rights')).toMatchObject({
    level: 'problem',
    says: expect.stringContaining('may not create pods, '),
    mend: expect.stringContaining('rbac.yaml'),
  });
  expect(only(await look('nobody'), 'connection').says).toContain('does not know who asks');
});

it('looks at the servers of the configuration that it was given, with its authority, and says which one is wanted', async () => {
  const make = join(import.meta.dirname, '..', '..', '..', '..', 'deploy', 'nats', 'make-certificates');
  for (const name of ['ours', 'theirs']) execFileSync(make, [join(folder, name), '127.0.0.1'], { stdio: 'pipe' });
  const block = { cert_file: join(folder, 'ours', 'server.pem'), key_file: join(folder, 'ours', 'server.key') };
  await using server = await startNatsServer({ config: `tls: ${JSON.stringify(block)}` });
  // The folder's own names another cluster.
  writeFileSync(join(folder, 'muster.yaml'), `${GOOD.replace('demo', 'other')}nats: { servers: ["${NOWHERE}"] }\n`);
  const tlsOf = async (ca: string) => {
    writeFileSync(join(folder, 'there.yaml'), `${GOOD}nats: { servers: ["${server.url}"], tls: { ca: ${ca}/ca.pem } }\n`);
    return (await doctor('--config there.yaml')).findings;
  };
  expect(only(await tlsOf('theirs'), 'TLS')).toMatchObject({
    level: 'problem',
    says: expect.stringContaining(`is not signed by that of ${join(folder, 'theirs', 'ca.pem')}`),
    mend: expect.stringContaining('nats.tls.ca'),
  });
  expect(only(await tlsOf('ours'), 'version').level).toBe('ok');
});

describe.each(natsServerBinaries())('on nats-server $version', ({ path, version }) => {
  const isOld = version.startsWith('2.9.');

  it('finds nothing wrong where nothing is, but what it cannot see', async () => {
    await using server = await startNatsServer({ binary: path });
    await setUp(server);
    const { code, findings, err } = await doctor(`--nats ${server.url}`);
    expect(code, err).toBe(0);
    expect(only(findings, 'version').says).toContain(version);
    expect(only(findings, 'journals').level).toBe('ok');
    expect(only(findings, 'permissions').level).toBe('ok');
    expect(only(findings, 'latency').level).toBe('ok');
    expect(only(findings, 'sync').level).toBe('unknown');
    expect(only(findings, 'replicas')).toMatchObject({ level: 'warning', says: 'no replica runs' });
    expect(findings.filter(({ check }) => check === 'clock')).toHaveLength(isOld ? 0 : 1);
  });

  it('says that JetStream is off', async () => {
    await using server = await startNatsServer({ binary: path, config: 'jetstream: false' });
    const { code, findings } = await doctor(`--nats ${server.url}`);
    expect(code).toBe(1);
    expect(only(findings, 'JetStream')).toMatchObject({ level: 'problem', mend: expect.stringContaining('store_dir') });
  });

  it('says that a cluster is not set up, or that the account has another one', async () => {
    await using server = await startNatsServer({ binary: path });
    const missing = await doctor(`--nats ${server.url}`);
    expect(missing.code).toBe(1);
    expect(only(missing.findings, 'journals').mend).toContain('nats-setup');
    await setUp(server);
    writeFileSync(join(folder, 'muster.yaml'), GOOD.replace('demo', 'other'));
    expect(only((await doctor(`--nats ${server.url}`)).findings, 'account').says).toContain('holds the cluster demo');
  });

  it('names each setting of the stream that is not as it must be', async () => {
    await using server = await startNatsServer({ binary: path });
    const nats = await connectNats({ servers: [server.url], name: 'wrong', ...tools });
    const config = { name: 'MUSTER_demo', subjects: [subjects.journals('demo'), subjects.parts('demo')], storage: 'memory', max_msgs: 5 };
    await nats.bus.request('$JS.API.STREAM.CREATE.MUSTER_demo', encode(config), { timeoutMs: 5_000 });
    await nats.close();
    const { code, findings } = await doctor(`--nats ${server.url}`);
    expect(code).toBe(1);
    const said = findings.filter(({ check }) => check === 'journals').map(({ says }) => says);
    expect(said.join('\n')).toMatch(/storage "memory", wanted is "file"/);
    expect(said.join('\n')).toMatch(/max_msgs 5, wanted is -1/);
  });

  it('says that the journals have other copies than the configuration wants', async () => {
    await using server = await startNatsServer({ binary: path });
    await setUp(server);
    writeFileSync(join(folder, 'muster.yaml'), `${GOOD}nats: { replicas: 3 }\n`);
    const { code, findings } = await doctor(`--nats ${server.url}`);
    expect(code).toBe(1);
    expect(only(findings, 'journals').mend).toContain('set nats.replicas to 1');
    const { findings: asWanted } = await doctor(`--nats ${server.url}`, { MUSTER_NATS_REPLICAS: '1' });
    expect(only(asWanted, 'journals').level).toBe('ok');
    expect(only(findings, 'version').level).toBe(isOld ? 'problem' : 'ok');
  });

  it('refuses an old cluster of servers, however many copies', async () => {
    await using server = await startNatsServer({
      binary: path,
      config: 'server_name: one\ncluster { name: test, listen: "127.0.0.1:-1" }\njetstream: false',
    });
    const { findings } = await doctor(`--nats ${server.url}`);
    expect(only(findings, 'version')).toMatchObject(
      isOld ? { level: 'problem', mend: expect.stringContaining('2.11') } : { level: 'ok', says: expect.stringContaining('in a cluster') },
    );
  });

  it('tells credentials that are missing or wrong from a user that may not do what its role needs', async () => {
    const book = newAccessBook('demo', 'nkeys', [{ role: 'setup' }, { role: 'admin' }, { role: 'client' }, { role: 'replica' }]);
    const { server: config, credentials } = await makeAccessFiles(book);
    for (const [user, text] of credentials) writeFileSync(join(folder, `${user}.creds`), text);
    await using server = await startNatsServer({ binary: path, config });
    const nobody = await doctor(`--nats ${server.url}`);
    expect(nobody.code).toBe(1);
    expect(only(nobody.findings, 'connection').mend).toContain('--creds');
    const missing = await doctor(`--nats ${server.url} --creds nowhere.creds`);
    expect(only(missing.findings, 'connection').says).toContain('nowhere.creds');
    const client = await doctor(`--nats ${server.url} --creds client.creds`);
    expect(client.code).toBe(1);
    expect(only(client.findings, 'permissions').says).toContain('subscribe muster.v1.events.>');
    const wrong = await doctor(`--nats ${server.url} --creds admin.creds --role replica`);
    expect(only(wrong.findings, 'permissions')).toMatchObject({ level: 'problem', mend: expect.stringContaining('replica.creds') });
    const setup = await connectNats({
      servers: [server.url],
      name: 'setup',
      credentials: { kind: 'creds', contents: credentials.get('setup') ?? '' },
      ...tools,
    });
    (await setup.openClusterStore({ cluster: 'demo' })).close();
    await setup.close();
    for (const role of ['admin', 'replica']) {
      const { code, findings } = await doctor(`--nats ${server.url} --creds ${role}.creds --role ${role}`);
      expect(only(findings, 'permissions'), role).toMatchObject({ level: 'ok' });
      expect(code, role).toBe(0);
    }
  });

  it('tells by the monitoring port whether writes are synced', async () => {
    await using store = await tempDir();
    const port = await freePort();
    const monitoring = `http: "127.0.0.1:${port}"`;
    await using server = await startNatsServer({ binary: path, storeDir: store.path, config: monitoring });
    await setUp(server);
    const lazy = await doctor(`--nats ${server.url} --monitoring http://127.0.0.1:${port}`);
    expect(lazy.code).toBe(0);
    expect(only(lazy.findings, 'sync')).toMatchObject({ level: 'warning', mend: expect.stringContaining('sync_interval: always') });
    expect((await doctor(`--nats ${server.url} --monitoring ${NOWHERE}`)).err).toContain('monitoring port');
  });
});

const newest = natsServerBinaries().filter(({ version }) => !version.startsWith('2.9.'));
it.each(newest)('says that writes are synced where they are: $version', async ({ path }) => {
  await using store = await tempDir();
  const port = await freePort();
  const config = `http: "127.0.0.1:${port}"\njetstream { store_dir: ${JSON.stringify(store.path)}, sync_interval: always }`;
  await using server = await startNatsServer({ binary: path, storeDir: store.path, config });
  await setUp(server);
  const { findings } = await doctor(`--nats ${server.url} --monitoring http://127.0.0.1:${port}`);
  expect(only(findings, 'sync').level).toBe('ok');
});
