// What a client asks before it knows what there is.
import { openApi } from './openapi.ts';
import { apiVersionOf, RESOURCES, type Resource } from './resources.ts';
import { REVIEWS } from './routes.ts';

/** As recorded from a server that was built from source. */
const VERSION = {
  major: '1',
  minor: '36',
  emulationMajor: '1',
  emulationMinor: '36',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '35',
  gitVersion: 'v0.0.0-master+$Format:%H$',
  gitCommit: '$Format:%H$',
  gitTreeState: '',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: 'go1.26.10',
  compiler: 'gc',
  platform: 'linux/amd64',
};

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The answer to a path of discovery, or undefined where there is none. */
export function discover(path: string): object | string | undefined {
  if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) return 'ok';
  if (path === '/version') return VERSION;
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups().map(groupOf) };
  if (path.startsWith('/openapi/')) return openApi(path);
  const group = /^\/apis\/([^/]+)\/?$/.exec(path)?.[1];
  if (group !== undefined) return groups().includes(group) ? { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group) } : undefined;
  const groupVersion = /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))\/?$/.exec(path);
  return groupVersion === null ? undefined : resourceList(groupVersion[1] ?? groupVersion[2] ?? '');
}

function groups(): readonly string[] {
  return [...new Set([...RESOURCES, ...REVIEWS].map(({ group }) => group))].filter((group) => group !== '');
}

function groupOf(name: string): object {
  const version = { groupVersion: `${name}/v1`, version: 'v1' };
  return { name, versions: [version], preferredVersion: version };
}

function resourceList(groupVersion: string): object | undefined {
  const resources = RESOURCES.filter((one) => apiVersionOf(one) === groupVersion);
  const reviews = REVIEWS.filter(({ group }) => groupVersion === `${group}/v1`).map(({ plural, kind }) => ({
    name: plural,
    singularName: kind.toLowerCase(),
    namespaced: false,
    kind,
    verbs: ['create'],
  }));
  const described = [...resources.flatMap(describe), ...reviews];
  return described.length === 0 ? undefined : { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: described };
}

function describe(resource: Resource): readonly object[] {
  const { plural, kind, isNamespaced, shortNames } = resource;
  const entry = {
    name: plural,
    singularName: kind.toLowerCase(),
    namespaced: isNamespaced,
    kind,
    verbs: VERBS,
    ...(shortNames.length === 0 ? {} : { shortNames }),
  };
  if (!resource.hasStatus) return [entry];
  return [entry, { name: `${plural}/status`, singularName: '', namespaced: isNamespaced, kind, verbs: ['get', 'patch', 'update'] }];
}
