// Writes packages/testkit/src/kubernetes/types.json: the fields of every kind that the double of the API server knows, out of
// the types that the Kubernetes client was generated with. Run it when the client is updated: `npm run kubernetes-types`.
import { writeFileSync } from 'node:fs';
import { readKubernetesTypes } from '../test/kubernetes/kubernetes-types.ts';

const file = new URL('../packages/testkit/src/kubernetes/types.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(readKubernetesTypes(), undefined, 2)}\n`);
