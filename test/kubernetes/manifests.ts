// The documents of `deploy/kubernetes`, as kustomize puts them together but for the hashes in names.
import { readFileSync } from 'node:fs';
import type { JsonObject } from '@muster/testkit';
import { parse, parseAllDocuments } from 'yaml';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name?: string; readonly generateName?: string; readonly namespace?: string };
  readonly spec?: JsonObject;
  readonly rules?: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
}

interface Kustomization {
  readonly resources: readonly string[];
  readonly configMapGenerator: readonly { readonly name: string; readonly namespace: string; readonly files: readonly string[] }[];
}

/** The text of a file below `deploy`. */
export function deployFile(folder: string, name: string): string {
  return readFileSync(new URL(`../../deploy/${folder}/${name}`, import.meta.url), 'utf8');
}

/** What `kubectl apply -k deploy/kubernetes` applies, in its order. */
export function readManifests(): readonly Manifest[] {
  const { resources, configMapGenerator } = parse(deployFile('kubernetes', 'kustomization.yaml')) as Kustomization;
  const written = resources.flatMap((name) => parseAllDocuments(deployFile('kubernetes', name))).map((one) => one.toJS() as Manifest);
  const generated = configMapGenerator.map(({ name, namespace, files }) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace },
    data: Object.fromEntries(files.map((file) => [file, deployFile('kubernetes', file)])),
  }));
  return [...written, ...generated];
}

/** The pod of the tenants' run. */
export function readTenantsRun(): Manifest {
  return parse(deployFile('kubernetes', 'tenants-run.yaml')) as Manifest;
}
