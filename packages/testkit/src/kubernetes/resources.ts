/** One kind of object, and where it is served. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly isNamespaced: boolean;
  /** It has a `status` that only its subresource changes. */
  readonly hasStatus: boolean;
  /** `metadata.generation` counts the changes of its spec. */
  readonly hasGeneration: boolean;
  readonly shortNames: readonly string[];
}

type Row = readonly [plural: string, kind: string, traits?: string, shortNames?: string];

/** Traits: c = of the cluster, not of a namespace; s = has a status; g = has a generation. */
const TABLE: Readonly<Record<string, readonly Row[]>> = {
  v1: [
    ['namespaces', 'Namespace', 'cs', 'ns'],
    ['nodes', 'Node', 'cs', 'no'],
    ['pods', 'Pod', 'sg', 'po'],
    ['secrets', 'Secret'],
    ['configmaps', 'ConfigMap', '', 'cm'],
    ['events', 'Event', '', 'ev'],
    ['services', 'Service', 's', 'svc'],
    ['serviceaccounts', 'ServiceAccount', '', 'sa'],
    ['resourcequotas', 'ResourceQuota', 's', 'quota'],
    ['persistentvolumeclaims', 'PersistentVolumeClaim', 's', 'pvc'],
  ],
  'apps/v1': [
    ['deployments', 'Deployment', 'sg', 'deploy'],
    ['statefulsets', 'StatefulSet', 'sg', 'sts'],
  ],
  'coordination.k8s.io/v1': [['leases', 'Lease']],
  'networking.k8s.io/v1': [['networkpolicies', 'NetworkPolicy', 'g', 'netpol']],
  'policy/v1': [['poddisruptionbudgets', 'PodDisruptionBudget', 'sg', 'pdb']],
  'rbac.authorization.k8s.io/v1': [
    ['roles', 'Role'],
    ['rolebindings', 'RoleBinding'],
    ['clusterroles', 'ClusterRole', 'c'],
    ['clusterrolebindings', 'ClusterRoleBinding', 'c'],
  ],
  'scheduling.k8s.io/v1': [['priorityclasses', 'PriorityClass', 'cg', 'pc']],
};

/** Every kind that the double of the API server stores and serves. */
export const RESOURCES: readonly Resource[] = Object.entries(TABLE).flatMap(([apiVersion, rows]) => {
  const [group, version] = splitApiVersion(apiVersion);
  return rows.map(([plural, kind, traits = '', shortNames]) => ({
    group,
    version,
    plural,
    kind,
    isNamespaced: !traits.includes('c'),
    hasStatus: traits.includes('s'),
    hasGeneration: traits.includes('g'),
    shortNames: shortNames === undefined ? [] : [shortNames],
  }));
});

/** `['apps', 'v1']` of `apps/v1`, `['', 'v1']` of `v1`. */
export function splitApiVersion(apiVersion: string): readonly [group: string, version: string] {
  const slash = apiVersion.indexOf('/');
  return slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
}

const byPath = new Map(RESOURCES.map((one) => [`${one.group}/${one.version}/${one.plural}`, one]));
const byPlural = new Map(RESOURCES.map((one) => [one.plural, one]));
const byKind = new Map(RESOURCES.map((one) => [`${apiVersionOf(one)} ${one.kind}`, one]));

export function findResource(group: string, version: string, plural: string): Resource | undefined {
  return byPath.get(`${group}/${version}/${plural}`);
}

/** By its plural name alone. @throws Error where there is none */
export function resourceOf(plural: string): Resource {
  const resource = byPlural.get(plural);
  if (resource === undefined) throw new Error(`the double serves no ${plural}`);
  return resource;
}

/** By what a document says of itself. @throws Error where there is none */
export function resourceOfKind(apiVersion: string, kind: string): Resource {
  const resource = byKind.get(`${apiVersion} ${kind}`);
  if (resource === undefined) throw new Error(`the double serves no ${kind} of ${apiVersion}`);
  return resource;
}

export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}

/** As messages name it: `pods`, `leases.coordination.k8s.io`. */
export function qualifiedName({ group, plural }: { readonly group: string; readonly plural: string }): string {
  return group === '' ? plural : `${plural}.${group}`;
}
