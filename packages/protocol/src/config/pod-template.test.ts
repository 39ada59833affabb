import { expect, test } from 'vitest';
import { MusterError } from '../errors.ts';
import { parseClusterConfig, problemsOfChange } from './parse.ts';

/** A configuration with one pool on Kubernetes, in JSON, which is YAML. */
function file(pool: Readonly<Record<string, unknown>>, driver = 'kubernetes'): string {
  return JSON.stringify({ cluster: { name: 'demo' }, kubernetes: { namespace: 'workers' }, pools: { a: { driver, ...pool } } });
}
function problemsOf(pool: Readonly<Record<string, unknown>>, driver?: string): readonly string[] {
  try {
    parseClusterConfig(file(pool, driver));
    return [];
  } catch (error) {
    if (error instanceof MusterError) return error.message.split('; ');
    throw error;
  }
}
const container = { name: 'worker', image: 'worker:1', ports: [{ containerPort: 8080 }] };
const spec = { containers: [container] };

test('a pod spec by itself and one with metadata are the same template', () => {
  const bare = parseClusterConfig(file({ podTemplate: spec }));
  const whole = parseClusterConfig(file({ podTemplate: { spec } }));
  expect(bare.kubernetes).toEqual({ namespace: 'workers' });
  expect(bare.config.pools.a?.template.podTemplate).toEqual({ spec });
  expect(bare.config.pools.a?.templateHash).toBe(whole.config.pools.a?.templateHash);
});

test('the template hash covers the pod template, metadata too', () => {
  const hash = (podTemplate: unknown) => parseClusterConfig(file({ podTemplate })).config.pools.a?.templateHash;
  expect(hash({ spec: { containers: [{ ...container, image: 'worker:2' }] } })).not.toBe(hash({ spec }));
  expect(hash({ metadata: { annotations: { a: 'b' } }, spec })).not.toBe(hash({ spec }));
});

test('every conflict with what Muster sets is refused at its path', () => {
  const problems = problemsOf({
    podTemplate: {
      metadata: {
        name: 'mine',
        namespace: 'other',
        ownerReferences: [],
        labels: { 'muster.dev/slot': 'x', 'app.kubernetes.io/managed-by': 'helm', team: 'data' },
        annotations: { 'muster.dev/org': 'x' },
      },
      spec: {
        restartPolicy: 'Always',
        automountServiceAccountToken: true,
        containers: [{ ...container, env: [{ name: 'MUSTER_TOKEN', value: 'x' }] }],
        initContainers: [{ name: 'init', image: 'i', env: [{ name: 'A' }, { name: 'MUSTER_SLOT', value: 'x' }] }],
      },
      status: {},
    },
  });
  expect(problems.map((problem) => problem.split(': ')[0] ?? '').toSorted((a, b) => a.localeCompare(b))).toEqual(
    [
      'metadata.annotations.muster.dev/org',
      'metadata.labels.app.kubernetes.io/managed-by',
      'metadata.labels.muster.dev/slot',
      'metadata.name',
      'metadata.namespace',
      'metadata.ownerReferences',
      'spec.automountServiceAccountToken',
      'spec.containers.0.env.0',
      'spec.initContainers.0.env.1',
      'spec.restartPolicy',
      'status',
    ]
      .map((path) => `pools.a.podTemplate.${path}`)
      .toSorted((a, b) => a.localeCompare(b)),
  );
});

test('what agrees with Muster is no conflict, and neither is anything else of a pod spec', () => {
  const podTemplate = {
    metadata: { labels: { 'app.kubernetes.io/managed-by': 'muster', team: 'data' } },
    spec: {
      ...spec,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      tolerations: [{ operator: 'Exists' }],
      hostNetwork: true,
    },
  };
  expect(problemsOf({ podTemplate })).toEqual([]);
});

test.each([
  [{}, 'pools.a.podTemplate: is needed by the kubernetes driver'],
  [{ podTemplate: {} }, 'pools.a.podTemplate.containers: must have one or more containers'],
  [{ podTemplate: { metadata: {} } }, 'pools.a.podTemplate.spec: must be a pod spec'],
  [{ podTemplate: { containers: 'x' } }, 'pools.a.podTemplate.containers: must have one or more containers'],
  [{ podTemplate: { containers: [1] } }, 'pools.a.podTemplate.containers.0: must be a map'],
  [{ podTemplate: spec, worker: { command: ['x'] } }, "pools.a.worker.command: is the container's, in podTemplate"],
  [
    { podTemplate: { containers: [{ ...container, env: [{ name: 'A', value: '1' }] }] }, worker: { env: { A: '2' } } },
    'pools.a.worker.env.A: is in podTemplate too: one of them would be dropped',
  ],
  [{ podTemplate: spec, probe: { port: 1 } }, 'pools.a.probe: is of no use without contract: probe'],
  [
    { podTemplate: { containers: [{ name: 'x', image: 'y' }] }, contract: 'probe' },
    'pools.a.probe.port: is needed: the container of the worker names no port',
  ],
  [{ podTemplate: spec, contract: 'probe', probe: { activate: 'x' } }, 'pools.a.probe.activate: must be a path like /activate'],
  [
    { podTemplate: { containers: [{ ...container, args: ['x'.repeat(40_000)] }] } },
    'pools.a.podTemplate: may have at most 32768 bytes as JSON',
  ],
])('%j is refused: %s', (pool, problem) => {
  expect(problemsOf(pool).join('; ')).toContain(problem);
});

test('what belongs to Kubernetes is refused for other drivers', () => {
  expect(problemsOf({ podTemplate: spec, contract: 'probe', probe: { port: 1 } }, 'simulated')).toEqual([
    'pools.a.podTemplate: is of no use to the simulated driver',
    'pools.a.contract: the simulated driver knows hello only',
  ]);
});

test('the probe has the port of the container that is the worker, unless it names one', () => {
  const sidecar = { name: 'sidecar', image: 's', ports: [{ containerPort: 1 }] };
  const of = (probe: object) =>
    parseClusterConfig(file({ podTemplate: { containers: [sidecar, container] }, contract: 'probe', ...probe })).config.pools.a?.probe;
  expect(of({})).toEqual({ scheme: 'http', port: 8080 });
  expect(of({ probe: { port: 9090, activate: '/activate' } })).toEqual({ scheme: 'http', port: 9090, activate: '/activate' });
});

test('the contract of a pool cannot change while it exists', () => {
  const hello = parseClusterConfig(file({ podTemplate: spec })).config;
  const probe = parseClusterConfig(file({ podTemplate: spec, contract: 'probe' })).config;
  expect(problemsOfChange(hello, probe)).toEqual([
    { path: 'pools.a.contract', message: 'cannot change while the pool exists: it is hello' },
  ]);
});

test('a floor above max is held down with a warning only where there is a max', () => {
  expect(parseClusterConfig(file({ podTemplate: spec, floor: 50, max: 10 })).warnings).toEqual([
    'pools.a.floor: 50 is held down to max (10)',
  ]);
  const unbounded = parseClusterConfig(file({ podTemplate: spec, floor: 50 }));
  expect(unbounded.warnings).toEqual([]);
  expect(unbounded.config.pools.a?.floor).toBe(50);
});
