// The OpenAPI documents, as far as clients look for what the server can do: that writes take `dryRun` and `fieldValidation`. Schemas
// are left out: clients that want them fall back to their own.
import { apiVersionOf, RESOURCES, type Resource } from './resources.ts';

const PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
  name,
  in: 'query',
  schema: { type: 'string', uniqueItems: true },
}));

/** `/openapi/v3` and what it lists, or undefined where there is no such document. */
export function openApi(path: string): object | undefined {
  const roots = new Map(RESOURCES.map((one) => [rootOf(one), apiVersionOf(one)]));
  if (path === '/openapi/v3') {
    return { paths: Object.fromEntries([...roots.keys()].map((root) => [root, { serverRelativeURL: `/openapi/v3/${root}?hash=0` }])) };
  }
  const groupVersion = roots.get(path.replace(/^\/openapi\/v3\//, ''));
  if (groupVersion === undefined) return undefined;
  const resources = RESOURCES.filter((one) => apiVersionOf(one) === groupVersion);
  const paths = Object.fromEntries(resources.map((one) => [pathOf(one), { patch: patchOf(one) }]));
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'unversioned' }, paths };
}

function rootOf(resource: Resource): string {
  return `${resource.group === '' ? 'api' : 'apis'}/${apiVersionOf(resource)}`;
}

function pathOf(resource: Resource): string {
  return `/${rootOf(resource)}${resource.isNamespaced ? '/namespaces/{namespace}' : ''}/${resource.plural}/{name}`;
}

function patchOf({ group, version, kind }: Resource): object {
  return {
    operationId: `patch${kind}`,
    parameters: PARAMETERS,
    responses: { 200: { description: 'OK' } },
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}
