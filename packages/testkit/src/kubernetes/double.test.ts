// What the recordings do not show: the rest of what a client may do, and what it may meet.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { type KubernetesDouble, startKubernetesDouble } from './double.ts';
import { type KubernetesObject, listAt, objectAt, stringAt } from './object.ts';
import { ApiClient, type WatchEvent } from './simulated/api-client.ts';

const PODS = '/api/v1/namespaces/pool/pods';
const SECRETS = '/api/v1/namespaces/pool/secrets';
const SPEC = { restartPolicy: 'Never', containers: [{ name: 'worker', image: 'worker:1' }] };

let double: KubernetesDouble;
let client: ApiClient;

beforeEach(async () => {
  double = await startKubernetesDouble({ namespaces: ['pool'] });
  client = new ApiClient(double.access());
});

afterEach(async () => {
  client.close();
  await double[Symbol.asyncDispose]();
});

async function createPod(name: string, metadata: object = {}): Promise<KubernetesObject> {
  return (await client.call('POST', PODS, { body: { metadata: { name, ...metadata }, spec: SPEC } })) as KubernetesObject;
}

async function patch(path: string, body: unknown, kind = 'merge'): Promise<KubernetesObject> {
  const contentType =
    kind === 'json' ? 'application/json-patch+json' : `application/${kind === 'merge' ? 'merge' : 'strategic-merge'}-patch+json`;
  return (await client.call('PATCH', path, { body, contentType })) as KubernetesObject;
}

function namesOf(list: unknown): readonly string[] {
  return listAt(list, 'items').map((one) => stringAt(one, 'metadata', 'name') ?? '');
}

interface Watched {
  readonly events: WatchEvent[];
  /** Resolves with why it broke, undefined where it ended in order. */
  readonly ended: Promise<Error | undefined>;
  readonly stop: () => void;
}

async function watch(query: string, path = PODS): Promise<Watched> {
  const events: WatchEvent[] = [];
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  const stop = await client.watch(`${path}?watch=true&${query}`, { onEvent: (event) => events.push(event), onEnd: resolve });
  return { events, ended: promise, stop };
}

function seen({ events }: Watched): readonly string[] {
  return events.map(({ type, object }) => `${type} ${stringAt(object, 'metadata', 'name') ?? ''}`.trim());
}

describe('lists', () => {
  test('pages show one moment, whatever is written between them', async () => {
    for (const name of ['a', 'b', 'c']) await createPod(name);
    const first = await client.call('GET', `${PODS}?limit=2`);
    expect(objectAt(first, 'metadata')).toMatchObject({ remainingItemCount: 1 });
    await client.call('DELETE', `${PODS}/c`);
    await createPod('bb');
    const token = stringAt(first, 'metadata', 'continue') ?? '';
    const second = await client.call('GET', `${PODS}?limit=2&continue=${encodeURIComponent(token)}`);
    expect([...namesOf(first), ...namesOf(second)]).toEqual(['a', 'b', 'c']);
    expect(stringAt(second, 'metadata', 'resourceVersion')).toBe(stringAt(first, 'metadata', 'resourceVersion'));
  });

  test('a page after compaction is 410, with a token to go on with what there is', async () => {
    for (const name of ['a', 'b', 'c']) await createPod(name);
    const token = stringAt(await client.call('GET', `${PODS}?limit=1`), 'metadata', 'continue') ?? '';
    await createPod('d');
    double.compact();
    const refused = await client.request('GET', `${PODS}?limit=1&continue=${token}`);
    expect([refused.status, objectAt(refused.body)['reason']]).toEqual([410, 'Expired']);
    const other = stringAt(refused.body, 'metadata', 'continue') ?? '';
    expect(namesOf(await client.call('GET', `${PODS}?continue=${other}`))).toEqual(['b', 'c', 'd']);
  });

  test('selectors choose by labels, name, phase and node', async () => {
    await createPod('a', { labels: { pool: 'x', tier: 'one' } });
    await createPod('b', { labels: { pool: 'y' } });
    await client.call('POST', `${PODS}/b/binding`, { body: { metadata: { name: 'b' }, target: { name: 'node-1' } } });
    await patch(`${PODS}/b/status`, { status: { phase: 'Running' } });
    const chosen = async (kind: string, text: string) =>
      namesOf(await client.call('GET', `${PODS}?${kind}Selector=${encodeURIComponent(text)}`));
    expect(await chosen('label', 'pool=x')).toEqual(['a']);
    expect(await chosen('label', 'pool in (x, y),!tier')).toEqual(['b']);
    expect(await chosen('label', 'pool!=x')).toEqual(['b']);
    expect(await chosen('label', 'pool notin (x)')).toEqual(['b']);
    expect(await chosen('label', 'tier')).toEqual(['a']);
    expect(await chosen('field', 'metadata.name=a')).toEqual(['a']);
    expect(await chosen('field', 'status.phase!=Running')).toEqual(['a']);
    expect(await chosen('field', 'spec.nodeName=node-1')).toEqual(['b']);
    expect((await client.request('GET', `${PODS}?fieldSelector=spec.color=red`)).status).toBe(400);
  });

  test('a version that the server has not reached is a 504', async () => {
    const { status, body, headers } = await client.request('GET', `${PODS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan`);
    expect([status, stringAt(body, 'reason'), headers['retry-after']]).toEqual([504, 'Timeout', '1']);
    expect(stringAt(body, 'message')).toMatch(/^Timeout: Too large resource version: 999999, current: \d+$/);
  });
});

describe('watches', () => {
  test('from a version on, each event once and in order', async () => {
    const pod = await createPod('a');
    await patch(`${PODS}/a`, { metadata: { labels: { touched: '1' } } });
    const watched = await watch(`resourceVersion=${pod.metadata.resourceVersion}`);
    await createPod('b');
    await client.call('DELETE', `${PODS}/b`);
    await eventually(() => expect(seen(watched)).toEqual(['MODIFIED a', 'ADDED b', 'MODIFIED b', 'DELETED b']));
    watched.stop();
  });

  test('what begins to match is added, what ceases to match is deleted', async () => {
    const watched = await watch(`labelSelector=org&resourceVersion=${double.revision}`);
    await createPod('a');
    await patch(`${PODS}/a`, { metadata: { labels: { org: 'acme' } } });
    await patch(`${PODS}/a`, { metadata: { labels: { org: null } } });
    await eventually(() => expect(seen(watched)).toEqual(['ADDED a', 'DELETED a']));
    expect(stringAt(watched.events[1]?.object, 'metadata', 'resourceVersion')).toBe(String(double.revision));
    watched.stop();
  });

  test('what changes nothing is no event', async () => {
    await createPod('a', { labels: { org: 'acme' } });
    const before = double.revision;
    await patch(`${PODS}/a`, { metadata: { labels: { org: 'acme' } } });
    expect(double.revision).toBe(before);
  });

  test('sendInitialEvents without its companions is refused', async () => {
    const { status, body } = await client.request('GET', `${PODS}?watch=true&sendInitialEvents=true`);
    expect([status, stringAt(body, 'reason')]).toEqual([422, 'Invalid']);
  });
});

describe('writes', () => {
  test('a Secret goes with the pod that owns it; one with another owner left stays', async () => {
    const [one, other] = [await createPod('one'), await createPod('other')];
    const owner = ({ metadata }: KubernetesObject) => ({ apiVersion: 'v1', kind: 'Pod', name: metadata.name, uid: metadata.uid });
    const secret = (name: string, ...owners: readonly object[]) => ({
      body: { metadata: { name, ownerReferences: owners }, stringData: { token: name } },
    });
    await client.call('POST', SECRETS, secret('ones', owner(one)));
    await client.call('POST', SECRETS, secret('shared', owner(one), owner(other)));
    await client.call('DELETE', `${PODS}/one`);
    await eventually(() => expect(double.objects('secrets', 'pool').map(({ metadata }) => metadata.name)).toEqual(['shared']));
    await client.call('POST', SECRETS, secret('late', owner(one)));
    await eventually(() => expect(double.find('secrets', 'pool', 'late'), 'its owner was gone before it was made').toBeUndefined());
  });

  test('without controllers nothing is collected', async () => {
    await using bare = await startKubernetesDouble({ namespaces: ['pool'], hasControllers: false });
    const other = new ApiClient(bare.access());
    const pod = (await other.call('POST', PODS, { body: { metadata: { name: 'one' }, spec: SPEC } })) as KubernetesObject;
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name: 'one', uid: pod.metadata.uid }];
    await other.call('POST', SECRETS, { body: { metadata: { name: 'ones', ownerReferences } } });
    await other.call('DELETE', `${PODS}/one`);
    await other.call('DELETE', '/api/v1/namespaces/pool');
    expect(objectAt(bare.find('namespaces', undefined, 'pool'), 'status')).toEqual({ phase: 'Terminating' });
    expect(bare.find('secrets', 'pool', 'ones')).toBeDefined();
    const late = await other.request('POST', PODS, { body: { metadata: { name: 'two' }, spec: SPEC } });
    expect([late.status, stringAt(late.body, 'message')]).toEqual([
      403,
      'pods "two" is forbidden: unable to create new content in namespace pool because it is being terminated',
    ]);
    other.close();
  });

  test('a namespace that is deleted is emptied and goes', async () => {
    await createPod('a');
    await client.call('DELETE', '/api/v1/namespaces/pool');
    await eventually(() => expect(double.find('namespaces', undefined, 'pool')).toBeUndefined());
    expect(double.objects('pods', 'pool')).toEqual([]);
  });

  test('what has a finalizer stays until it is taken off', async () => {
    await createPod('a', { finalizers: ['example.dev/wait'] });
    await client.call('DELETE', `${PODS}/a`);
    expect(double.find('pods', 'pool', 'a')?.metadata.deletionTimestamp).toBeDefined();
    await patch(`${PODS}/a`, { metadata: { finalizers: null } });
    expect(double.find('pods', 'pool', 'a')).toBeUndefined();
  });

  test('in the foreground, what is owned goes first', async () => {
    const pod = await createPod('a');
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name: 'a', uid: pod.metadata.uid }];
    await client.call('POST', SECRETS, { body: { metadata: { name: 'as', ownerReferences } } });
    const { status } = await client.request('DELETE', `${PODS}/a`, { body: { propagationPolicy: 'Foreground' } });
    expect(status).toBe(202);
    await eventually(() =>
      expect([double.find('secrets', 'pool', 'as'), double.find('pods', 'pool', 'a')]).toEqual([undefined, undefined]),
    );
  });

  test('a collection is deleted by its selector', async () => {
    await createPod('a', { labels: { pool: 'x' } });
    await createPod('b', { labels: { pool: 'y' } });
    expect(namesOf(await client.call('DELETE', `${PODS}?labelSelector=pool%3Dx`))).toEqual(['a']);
    expect(double.objects('pods', 'pool').map(({ metadata }) => metadata.name)).toEqual(['b']);
  });

  test('the three kinds of patch', async () => {
    await createPod('a', { labels: { kept: '1', gone: '1' } });
    await patch(`${PODS}/a`, { metadata: { labels: { gone: null, added: '1' } } });
    expect(double.find('pods', 'pool', 'a')?.metadata.labels).toEqual({ kept: '1', added: '1' });
    await patch(
      `${PODS}/a/status`,
      {
        status: {
          conditions: [
            { type: 'Ready', status: 'False' },
            { type: 'Initialized', status: 'True' },
          ],
        },
      },
      'strategic',
    );
    await patch(`${PODS}/a/status`, { status: { conditions: [{ type: 'Ready', status: 'True' }] } }, 'strategic');
    const conditions = listAt(double.find('pods', 'pool', 'a'), 'status', 'conditions').map((one) => [
      stringAt(one, 'type'),
      stringAt(one, 'status'),
    ]);
    expect(conditions).toEqual([
      ['Ready', 'True'],
      ['Initialized', 'True'],
    ]);
    await patch(
      `${PODS}/a`,
      [
        { op: 'test', path: '/metadata/labels/kept', value: '1' },
        { op: 'remove', path: '/metadata/labels/kept' },
      ],
      'json',
    );
    expect(double.find('pods', 'pool', 'a')?.metadata.labels).toEqual({ added: '1' });
    await expect(patch(`${PODS}/a`, [{ op: 'test', path: '/metadata/labels/added', value: '2' }], 'json')).rejects.toThrow(/422/);
    const unknown = await client.request('PATCH', `${PODS}/a`, { body: {}, contentType: 'application/apply-patch+yaml' });
    expect(unknown.status).toBe(415);
  });

  test('a patch from an old version is a conflict', async () => {
    const { metadata } = await createPod('a');
    await patch(`${PODS}/a`, { metadata: { labels: { touched: '1' } } });
    const stale = { metadata: { resourceVersion: metadata.resourceVersion, labels: { touched: '2' } } };
    await expect(patch(`${PODS}/a`, stale)).rejects.toThrow(/409 Operation cannot be fulfilled on pods "a": the object has been modified/);
  });

  test('a spec cannot be changed but for its image; its status has a door of its own', async () => {
    await createPod('a');
    await expect(patch(`${PODS}/a`, { spec: { dnsPolicy: 'Default' } })).rejects.toThrow(
      /422 .*pod updates may not change fields other than/,
    );
    const { metadata } = await patch(`${PODS}/a`, { spec: { containers: [{ name: 'worker', image: 'worker:2' }] } }, 'strategic');
    expect(metadata.generation).toBe(2);
    await patch(`${PODS}/a`, { status: { phase: 'Failed' } });
    expect(objectAt(double.find('pods', 'pool', 'a'), 'status')['phase']).toBe('Pending');
  });

  test('a field that there is not is dropped with a warning, or refused where the client wants it so', async () => {
    const body = { metadata: { name: 'a' }, spec: { ...SPEC, restartPolice: 'Never' } };
    const { status, headers } = await client.request('POST', PODS, { body });
    expect([status, headers['warning']]).toEqual([201, '299 - "unknown field \\"spec.restartPolice\\""']);
    expect(objectAt(double.find('pods', 'pool', 'a'), 'spec')).not.toHaveProperty('restartPolice');
    const strict = await client.request('POST', `${PODS}?fieldValidation=Strict`, { body: { ...body, metadata: { name: 'b' } } });
    expect([strict.status, stringAt(strict.body, 'message')]).toEqual([
      400,
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.restartPolice"',
    ]);
  });

  test('a quota counts what is there, and makes room when something goes', async () => {
    double.apply({
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'q', namespace: 'pool' },
      spec: { hard: { pods: '1', 'requests.cpu': '2' } },
    });
    const withCpu = (name: string, cpu: string) => ({
      body: { metadata: { name }, spec: { ...SPEC, containers: [{ name: 'w', image: 'w:1', resources: { requests: { cpu } } }] } },
    });
    await expect(client.call('POST', PODS, { body: { metadata: { name: 'none' }, spec: SPEC } })).rejects.toThrow(
      /failed quota: q: must specify requests.cpu/,
    );
    await expect(client.call('POST', PODS, withCpu('much', '2500m'))).rejects.toThrow(
      /exceeded quota: q, requested: requests.cpu=2500m, used: requests.cpu=0, limited: requests.cpu=2/,
    );
    await client.call('POST', PODS, withCpu('one', '500m'));
    const message = /exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1/;
    await expect(client.call('POST', PODS, withCpu('two', '500m'))).rejects.toThrow(message);
    await expect(client.call('POST', PODS, withCpu('one', '500m')), 'a name that is taken is over the quota first').rejects.toThrow(
      message,
    );
    await client.call('DELETE', `${PODS}/one`);
    await client.call('POST', PODS, withCpu('two', '500m'));
  });
});

describe('rights', () => {
  const role = (verbs: readonly string[], more: object = {}) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'r', namespace: 'pool' },
    rules: [{ apiGroups: [''], resources: ['pods', 'pods/status'], verbs, ...more }],
  });
  const binding = (subject: object) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'r', namespace: 'pool' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
    subjects: [subject],
  });

  test('a user may do what a role says, in its namespace, and nothing else', async () => {
    const token = double.addUser('tester');
    double.apply(role(['list', 'patch']), binding({ kind: 'User', name: 'tester' }));
    const ask = async (method: string, path: string) =>
      (
        await client.request(method, path, {
          token,
          ...(method === 'PATCH' ? { body: {}, contentType: 'application/merge-patch+json' } : {}),
        })
      ).status;
    expect(await ask('GET', PODS)).toBe(200);
    expect(await ask('GET', `${PODS}?watch=true`)).toBe(403);
    expect(await ask('GET', '/api/v1/pods')).toBe(403);
    expect(await ask('GET', '/api/v1/namespaces/default/pods')).toBe(403);
    expect(await ask('GET', SECRETS)).toBe(403);
    expect(await ask('PATCH', `${PODS}/a/status`), 'allowed, and not there').toBe(404);
    expect(await ask('DELETE', `${PODS}/a`)).toBe(403);
    expect(await ask('DELETE', PODS)).toBe(403);
  });

  test('a name in a rule, or in a field selector, limits it to that name', async () => {
    const token = double.addUser('tester');
    double.apply(role(['get', 'list'], { resourceNames: ['a'] }), binding({ kind: 'User', name: 'tester' }));
    await createPod('a');
    const status = async (path: string) => (await client.request('GET', path, { token })).status;
    expect([await status(`${PODS}/a`), await status(`${PODS}/b`), await status(PODS)]).toEqual([200, 403, 403]);
    expect(await status(`${PODS}?fieldSelector=metadata.name%3Da`)).toBe(200);
  });

  test('a review says what the asker may do', async () => {
    const token = double.addUser('tester');
    double.apply(role(['create']), binding({ kind: 'User', name: 'tester' }));
    const review = async (verb: string) => {
      const body = { spec: { resourceAttributes: { verb, resource: 'pods', namespace: 'pool' } } };
      return objectAt(await client.call('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body, token }), 'status')[
        'allowed'
      ];
    };
    expect([await review('create'), await review('delete')]).toEqual([true, false]);
  });

  test('a subresource is a right of its own, and a path is not for everybody', async () => {
    const token = double.addUser('tester');
    double.apply(role(['create', 'update', 'patch']), binding({ kind: 'Group', name: 'system:authenticated' }));
    const bound = await client.request('POST', `${PODS}/a/binding`, { token, body: {} });
    expect(stringAt(bound.body, 'message')).toBe(
      'pods "a" is forbidden: User "tester" cannot create resource "pods/binding" in API group "" in the namespace "pool"',
    );
    expect((await client.request('GET', '/apis', { token })).status).toBe(200);
    expect((await client.request('GET', '/apis', { token: '' })).status).toBe(403);
    expect((await client.request('GET', '/readyz', { token: '' })).body).toBe('ok');
  });
});

test('over TLS, with a certificate of its own, as its kubeconfig says', async () => {
  await using secure = await startKubernetesDouble({ tls: true });
  const config = JSON.parse(secure.kubeconfig()) as {
    readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[];
  };
  const { server = '', 'certificate-authority-data': ca = '' } = config.clusters[0]?.cluster ?? {};
  const trusting = new ApiClient({ server, ca: Buffer.from(ca, 'base64').toString(), token: secure.adminToken });
  expect((await trusting.request('GET', '/api/v1/pods')).status).toBe(200);
  const distrusting = new ApiClient({ server, token: secure.adminToken });
  await expect(distrusting.request('GET', '/api/v1/pods')).rejects.toThrow(/self-signed certificate/);
  trusting.close();
  distrusting.close();
});

test('a certificate counts before a token; whoever asks with the token of somebody else does not show it', async () => {
  await using secure = await startKubernetesDouble({ tls: true });
  const certified = new ApiClient(secure.accessByCertificate());
  const token = secure.addUser('nobody');
  const whoami = async (options: object) => {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const answer = await certified.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body, ...options });
    return objectAt(answer, 'status', 'userInfo')['username'];
  };
  expect([await whoami({}), await whoami({ token })]).toEqual(['kubernetes-admin', 'nobody']);
  const both = new ApiClient({ ...secure.accessByCertificate(), token });
  expect((await both.request('GET', '/api/v1/pods')).status).toBe(200);
  certified.close();
  both.close();
});

test('what kubectl asks before it applies something: that the kind can be had, and that its writes take a validation', async () => {
  const { paths } = (await client.call('GET', '/openapi/v3')) as {
    readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>>;
  };
  const document = await client.call('GET', paths['apis/apps/v1']?.serverRelativeURL ?? '');
  expect(objectAt(document, 'paths', '/apis/apps/v1/namespaces/{namespace}/deployments/{name}', 'patch')).toMatchObject({
    'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' },
    parameters: expect.arrayContaining([expect.objectContaining({ name: 'fieldValidation', in: 'query' })]) as unknown,
  });
  for (const { name } of ((await client.call('GET', '/apis')) as { readonly groups: readonly { readonly name: string }[] }).groups) {
    const { resources } = (await client.call('GET', `/apis/${name}/v1`)) as { readonly resources: readonly unknown[] };
    expect(resources, name).not.toEqual([]);
  }
});
