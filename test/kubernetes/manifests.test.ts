// `deploy/kubernetes` as an API server reads it, and against what it refers to: nothing is made from it here but in the double.
import { readFileSync } from 'node:fs';
import { parseClusterConfig } from '@muster/protocol';
import { ApiClient, eventually, type JsonObject, RESOURCES, startKubernetesDouble } from '@muster/testkit';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { listenTo, makeWorker, startKubernetesWorld } from './kubernetes-world.ts';

const FOLDERS = ['kubernetes', 'kubernetes-on-existing-nats'] as const;
/** Longer than a replica takes to give up its hand-over (services/control-plane/src/main.ts). */
const HAND_OVER_SECONDS = 16;

interface Document {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: JsonObject;
  readonly rules?: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
}

function fileOf(folder: string, name: string): string {
  return readFileSync(new URL(`../../deploy/${folder}/${name}`, import.meta.url), 'utf8');
}
const kustomization = parse(fileOf('kubernetes', 'kustomization.yaml')) as {
  readonly resources: readonly string[];
  readonly configMapGenerator: readonly { readonly name: string; readonly namespace: string; readonly files: readonly string[] }[];
};
const documents = kustomization.resources
  .flatMap((name) => parseAllDocuments(fileOf('kubernetes', name)))
  .map((document) => document.toJS() as Document);

const run = parse(fileOf('kubernetes', 'tenants-run.yaml')) as Document;

function find(kind: string, name: string): Document {
  const found = documents.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

test('an API server takes every document, and knows every field of it', async () => {
  await using double = await startKubernetesDouble();
  const api = new ApiClient(double.access());
  const tenants: Document = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'tenants' } };
  for (const body of [...documents, tenants, run]) {
    const { apiVersion, kind, metadata } = body;
    const resource = RESOURCES.find(
      (one) => one.kind === kind && [one.group, one.version].filter((part) => part !== '').join('/') === apiVersion,
    );
    const base = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
    const scope = resource?.isNamespaced === true ? `/namespaces/${metadata.namespace}` : '';
    const { status, body: answer } = await api.request('POST', `${base}${scope}/${resource?.plural}?fieldValidation=Strict`, { body });
    expect([kind, metadata.name, status, status === 201 ? '' : answer]).toEqual([kind, metadata.name, 201, '']);
  }
  api.close();
});

test.each(FOLDERS)('the configuration of %s is one, and nothing in it is doubtful', (folder) => {
  const parsed = parseClusterConfig(fileOf(folder, 'muster.yaml'));
  expect(parsed.warnings).toEqual([]);
  expect(parsed.kubernetes).toEqual({ namespace: 'muster-workers' });
  expect(parsed.config.pools.duckdb).toMatchObject({ driver: 'kubernetes', floor: 5, max: 0 });
});

test('both configurations are the same but for where NATS is', () => {
  const [shipped, existing] = FOLDERS.map((folder) => parseClusterConfig(fileOf(folder, 'muster.yaml')).config);
  expect(existing).toEqual(shipped);
});

test('whatever a pod mounts or reads is made by the manifests, or is one of the Secrets of the guide', () => {
  const text = JSON.stringify([...documents, run]);
  const named = (pattern: RegExp) =>
    [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].toSorted((a, b) => a.localeCompare(b));
  expect(named(/"configMap":\{"name":"([^"]+)"/g)).toEqual(kustomization.configMapGenerator.map(({ name }) => name).toSorted());
  const guide = readFileSync(new URL('../../docs/guide/kubernetes.md', import.meta.url), 'utf8');
  const secrets = named(/"(?:secretName|secret":\{"name|secretKeyRef":\{"name)":"([^"]+)"/g);
  expect(secrets).toEqual(['muster-admin', 'muster-key', 'muster-nats-access', 'muster-replica-access', 'muster-setup-access']);
  for (const name of secrets) expect(guide).toContain(`create secret generic ${name}`);
});

test('the images are targets of the Dockerfile', () => {
  const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
  const targets = [...dockerfile.matchAll(/^FROM .* AS (\S+)$/gm)].map(([, target]) => target);
  const text = `${JSON.stringify(documents)}${fileOf('kubernetes', 'muster.yaml')}`;
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
  const duck = /lame_duck_duration: (\d+)s/.exec(fileOf('kubernetes', 'nats.conf'))?.[1];
  expect(graceOf('StatefulSet', 'nats')).toBeGreaterThan(Number(duck));
});

test('every acknowledged write is on the disk: NATS syncs always', () => {
  expect(fileOf('kubernetes', 'nats.conf')).toMatch(/^ {2}sync_interval: always$/m);
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

test('the shipped pool makes pods that the server takes', async () => {
  await using world = await startKubernetesWorld();
  const template = parseClusterConfig(fileOf('kubernetes', 'muster.yaml')).config.pools.duckdb?.template;
  if (template === undefined) throw new Error('there is no pool');
  expect(await world.driver().create(makeWorker('duckdb-1', { template }))).toMatchObject({ kind: 'created' });
});
