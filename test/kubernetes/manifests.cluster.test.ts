// `deploy/kubernetes` on the API server that the tests were given: a dry run of each document, and pods of the shipped pool.
import { parseClusterConfig } from '@muster/protocol';
import { RESOURCES } from '@muster/testkit';
import { expect, test } from 'vitest';
import { makeWorker, startKubernetesWorld } from './kubernetes-world.ts';
import { deployFile, type Manifest, readManifests, readTenantsRun } from './manifests.ts';
import { openTestCluster, type TestCluster } from './test-cluster.ts';

/** As in `namespaces.yaml`, and what is no pod yet is judged by the pods that it would make. */
const RESTRICTED = {
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
};

/** The namespace of the tests becomes one of those that are shipped. */
async function restrict({ api, path }: TestCluster): Promise<void> {
  await api.call('PATCH', path, { body: { metadata: { labels: RESTRICTED } }, contentType: 'application/merge-patch+json' });
}

async function dryRun({ api, namespace }: TestCluster, manifest: Manifest): Promise<unknown> {
  const { apiVersion, kind, metadata } = manifest;
  const resource = RESOURCES.find(
    (one) => one.kind === kind && [one.group, one.version].filter((part) => part !== '').join('/') === apiVersion,
  );
  const isNamespaced = resource?.isNamespaced === true;
  // Theirs may be there, and what is to be in them would have to wait for them: all of it goes into the one of the tests.
  const moved = isNamespaced ? { ...metadata, namespace } : { ...metadata, name: `${namespace}-${metadata.name}` };
  const path = `${apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`}${isNamespaced ? `/namespaces/${namespace}` : ''}`;
  const { status, headers, body } = await api.request('POST', `${path}/${resource?.plural}?dryRun=All&fieldValidation=Strict`, {
    body: { ...manifest, metadata: moved },
  });
  return { kind, name: metadata.name, status, warning: headers['warning'], said: status === 201 ? undefined : body };
}

test('a dry run is clean: no document is refused or warned of, every field is known, every pod is restricted', async () => {
  await using cluster = await openTestCluster();
  await restrict(cluster);
  for (const manifest of [...readManifests(), readTenantsRun()]) {
    const { kind, metadata } = manifest;
    expect(await dryRun(cluster, manifest)).toEqual({ kind, name: metadata.name, status: 201, warning: undefined, said: undefined });
  }
});

test('the shipped pool makes pods that a restricted namespace takes', async () => {
  await using world = await startKubernetesWorld();
  await restrict(world.cluster);
  const template = parseClusterConfig(deployFile('kubernetes', 'muster.yaml')).config.pools.duckdb?.template;
  if (template === undefined) throw new Error('there is no pool');
  expect(await world.driver().create(makeWorker('duckdb-1', { template }))).toMatchObject({ kind: 'created' });
});
