// `deploy/kubernetes` against what it refers to. What an API server says to it: `manifests.cluster.test.ts`.
import { readFileSync } from 'node:fs';
import { parseClusterConfig } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { expect, test } from 'vitest';
import { listenTo, makeWorker, startKubernetesWorld } from './kubernetes-world.ts';
import { deployFile, type Manifest, readManifests, readTenantsRun } from './manifests.ts';

const FOLDERS = ['kubernetes', 'kubernetes-on-existing-nats'] as const;
/** Longer than a replica takes to give up its hand-over (services/control-plane/src/main.ts). */
const HAND_OVER_SECONDS = 16;

const documents = readManifests();
const generated = documents.filter(({ kind }) => kind === 'ConfigMap').map(({ metadata }) => metadata.name);
const run = readTenantsRun();

function find(kind: string, name: string): Manifest {
  const found = documents.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

test.each(FOLDERS)('the configuration of %s is one, and nothing in it is doubtful', (folder) => {
  const parsed = parseClusterConfig(deployFile(folder, 'muster.yaml'));
  expect(parsed.warnings).toEqual([]);
  expect(parsed.kubernetes).toEqual({ namespace: 'muster-workers' });
  expect(parsed.config.pools.duckdb).toMatchObject({ driver: 'kubernetes', floor: 5, max: 0 });
});

test('both configurations are the same but for where NATS is', () => {
  const [shipped, existing] = FOLDERS.map((folder) => parseClusterConfig(deployFile(folder, 'muster.yaml')).config);
  expect(existing).toEqual(shipped);
});

test('whatever a pod mounts or reads is made by the manifests, or is one of the Secrets of the guide', () => {
  const text = JSON.stringify([...documents, run]);
  const named = (pattern: RegExp) =>
    [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].toSorted((a, b) => a.localeCompare(b));
  expect(new Set(named(/"configMap":\{"name":"([^"]+)"/g))).toEqual(new Set(generated));
  const guide = readFileSync(new URL('../../docs/guide/kubernetes.md', import.meta.url), 'utf8');
  const secrets = named(/"(?:secretName|secret":\{"name|secretKeyRef":\{"name)":"([^"]+)"/g);
  expect(secrets).toEqual(['muster-admin', 'muster-key', 'muster-nats-access', 'muster-replica-access', 'muster-setup-access']);
  for (const name of secrets) expect(guide).toContain(`create secret generic ${name}`);
});

test('the images are targets of the Dockerfile', () => {
  const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
  const targets = [...dockerfile.matchAll(/^FROM .* AS (\S+)$/gm)].map(([, target]) => target);
  const text = `${JSON.stringify(documents)}${deployFile('kubernetes', 'muster.yaml')}`;
  const images = [...text.matchAll(/muster\/((?:control-plane|host|duckdb-worker)\b)/g)].map(([, name]) => name);
  expect(new Set(images)).toEqual(new Set(['control-plane', 'duckdb-worker']));
  for (const image of images) expect(targets).toContain(image);
});

test('a replica has more time to stop than its hand-over takes, and NATS more than its lame duck', () => {
  const graceOf = (kind: string, name: string): number => {
    const template = find(kind, name).spec?.['template'] as { readonly spec: { readonly terminationGracePeriodSeconds: number } };
    return template.spec.terminationGracePeriodSeconds;
  };
  expect(graceOf('Deployment', 'muster-control-plane')).toBeGreaterThan(HAND_OVER_SECONDS);
  const duck = /lame_duck_duration: (\d+)s/.exec(deployFile('kubernetes', 'nats.conf'))?.[1];
  expect(graceOf('StatefulSet', 'nats')).toBeGreaterThan(Number(duck));
});

test('every acknowledged write is on the disk: NATS syncs always', () => {
  expect(deployFile('kubernetes', 'nats.conf')).toMatch(/^ {2}sync_interval: always$/m);
});

test('the role has exactly the verbs that the driver uses', async () => {
  await using world = await startKubernetesWorld();
  await world.cluster.runPods();
  const driver = world.driver();
  const { last } = listenTo(driver);
  const outcome = await driver.create(makeWorker('duckdb-1'));
  const handle = outcome.kind === 'created' ? outcome.handle : {};
  await eventually(() => expect(last.get('duckdb-1')?.state).toBe('running'));
  driver.noteOrg('duckdb-1', handle, 'acme');
  await eventually(async () => expect((await world.pod('duckdb-1')).metadata.labels?.['muster.dev/org']).toBe('acme'));
  // Made again: what is there is looked at.
  await driver.create(makeWorker('duckdb-1'));
  await driver.list();
  await driver.destroy('duckdb-1', handle);
  const used = (world.double?.requests ?? [])
    .filter(({ user }) => user.startsWith('system:serviceaccount:'))
    .map(({ resource, verb }) => `${resource} ${verb}`);
  const granted = find('Role', 'muster-workers').rules?.flatMap(({ resources, verbs }) =>
    resources.flatMap((resource) => verbs.map((verb) => `${resource} ${verb}`)),
  );
  expect([...new Set(used)].toSorted()).toEqual(granted?.toSorted());
});
