import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiClient, type KubernetesAccess, makeKubeconfig, startKubernetesDouble, tempDir } from '@muster/testkit';
import { expect, test } from 'vitest';
import { readAccess } from './access.ts';

async function whoComesIn(access: KubernetesAccess): Promise<unknown> {
  await using folder = await tempDir();
  const file = join(folder.path, 'kubeconfig');
  await writeFile(file, makeKubeconfig(access));
  const client = new ApiClient(await readAccess(file, undefined));
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const review = await client.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body });
  client.close();
  return (review as { readonly status: { readonly userInfo: { readonly username: string } } }).status.userInfo.username;
}

test('a kubeconfig lets the tests in as it lets in its user: with a token or a certificate, verified, unverified or in plain text', async () => {
  await using plain = await startKubernetesDouble();
  await using secure = await startKubernetesDouble({ tls: true });
  expect(await whoComesIn(plain.access())).toBe('admin');
  expect(await whoComesIn(secure.access())).toBe('admin');
  expect(await whoComesIn(secure.accessByCertificate())).toBe('kubernetes-admin');
  expect(await whoComesIn({ server: secure.url, token: secure.adminToken, isUnverified: true })).toBe('admin');
  await expect(whoComesIn({ server: secure.url, token: secure.adminToken })).rejects.toThrow(/self-signed/);
});
