import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from '../../eventually.ts';
import { tempDir } from '../../temp-dir.ts';
import { type KubernetesDouble, startKubernetesDouble } from '../double.ts';
import { listAt, objectAt, stringAt } from '../object.ts';
import { ApiClient } from './api-client.ts';
import { startSimulatedCluster } from './cluster.ts';
import { ProcessPods } from './process-pods.ts';

const NAMESPACE = '/api/v1/namespaces/pool';

interface World extends AsyncDisposable {
  readonly double: KubernetesDouble;
  readonly client: ApiClient;
  readonly logFolder: string;
}

async function startWorld(): Promise<World> {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await tempDir());
  const double = resources.use(await startKubernetesDouble({ namespaces: ['pool'] }));
  const client = new ApiClient(double.access());
  resources.defer(() => client.close());
  const runtime = new ProcessPods({ access: double.access(), logFolder: folder.path });
  resources.use(await startSimulatedCluster(double.access(), { runtime }));
  const scope = resources.move();
  return { double, client, logFolder: folder.path, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

/** A pod that runs a few lines of JavaScript. */
function podOf(name: string, script: string, more: object = {}): object {
  const container = { name: 'worker', image: 'node:24', command: [process.execPath, '-e', script], ...more };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'worker' } },
    spec: { restartPolicy: 'Never', containers: [container] },
  };
}

function phaseOf({ double }: World, name: string): string | undefined {
  return stringAt(double.find('pods', 'pool', name), 'status', 'phase');
}

function terminatedOf({ double }: World, name: string): unknown {
  return objectAt(listAt(double.find('pods', 'pool', name), 'status', 'containerStatuses')[0], 'state')['terminated'];
}

const SERVE = `
  require('node:http').createServer((_request, response) => response.end(JSON.stringify(process.env)))
    .listen(8080, process.env.POD_IP);
`;
const SERVED = {
  ports: [{ containerPort: 8080, name: 'http' }],
  readinessProbe: { httpGet: { port: 'http' }, periodSeconds: 1 },
  env: [
    { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
    { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'token', key: 'token' } } },
    { name: 'GREETING', value: 'I am $(POD_NAME), not $$(POD_NAME)' },
  ],
};

test('a pod waits for its Secret, runs its command at an address of its own, and is ready when its probe says so', async () => {
  await using world = await startWorld();
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('served', SERVE, SERVED) });
  await eventually(() => {
    const state = objectAt(listAt(world.double.find('pods', 'pool', 'served'), 'status', 'containerStatuses')[0], 'state');
    expect(state).toMatchObject({ waiting: { reason: 'CreateContainerConfigError', message: 'secret "token" not found' } });
  });
  await world.client.call('POST', `${NAMESPACE}/secrets`, { body: { metadata: { name: 'token' }, stringData: { token: 'hidden' } } });
  const pod = await eventually(
    () => {
      const found = world.double.find('pods', 'pool', 'served');
      const ready = listAt(found, 'status', 'conditions').find((one) => stringAt(one, 'type') === 'Ready');
      return stringAt(ready, 'status') === 'True' && found;
    },
    { timeoutMs: 60_000 },
  );
  const podIp = stringAt(pod, 'status', 'podIP') ?? '';
  const env = (await (await fetch(`http://${podIp}:8080/`)).json()) as Record<string, string>;
  expect(env).toMatchObject({
    POD_IP: podIp,
    POD_NAME: 'served',
    APP: 'worker',
    TOKEN: 'hidden',
    GREETING: 'I am served, not $(POD_NAME)',
  });
  await world.client.call('DELETE', `${NAMESPACE}/pods/served`);
  await eventually(() => world.double.find('pods', 'pool', 'served') === undefined);
  await expect(fetch(`http://${podIp}:8080/`)).rejects.toThrow();
});

test('a process that ends is a pod that failed or succeeded, and what it printed is kept', async () => {
  await using world = await startWorld();
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('failed', `console.log('no luck'); process.exit(3)`) });
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('done', '') });
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('killed', `process.kill(process.pid, 'SIGKILL')`) });
  await eventually(
    () => {
      expect(['failed', 'done', 'killed'].map((name) => phaseOf(world, name))).toEqual(['Failed', 'Succeeded', 'Failed']);
    },
    { timeoutMs: 60_000 },
  );
  expect(terminatedOf(world, 'failed')).toMatchObject({ exitCode: 3, reason: 'Error' });
  expect(terminatedOf(world, 'done')).toMatchObject({ exitCode: 0, reason: 'Completed' });
  expect(terminatedOf(world, 'killed')).toMatchObject({ exitCode: 137, reason: 'Error' });
  expect(await readFile(join(world.logFolder, 'failed-worker.log'), 'utf8')).toBe('no luck\n');
});

test('a pod that does not end when it is asked is ended when its grace period is over, and no process is left', async () => {
  await using world = await startWorld();
  const stubborn = `process.on('SIGTERM', () => {}); console.log(process.pid); setInterval(() => {}, 1000)`;
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('stubborn', stubborn) });
  const log = join(world.logFolder, 'stubborn-worker.log');
  const pid = Number(await eventually(async () => (await readFile(log, 'utf8')).trim() || false, { timeoutMs: 60_000 }));
  await world.client.call('DELETE', `${NAMESPACE}/pods/stubborn`, { body: { gracePeriodSeconds: 5 } });
  expect(() => process.kill(pid, 0)).not.toThrow();
  await eventually(() => world.double.find('pods', 'pool', 'stubborn') === undefined);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('what cannot be run says why', async () => {
  await using world = await startWorld();
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('image-only', '', { command: undefined }) });
  await world.client.call('POST', `${NAMESPACE}/pods`, { body: podOf('absent', '', { command: ['/no/such/program'] }) });
  await eventually(() => {
    for (const name of ['image-only', 'absent']) {
      const state = objectAt(listAt(world.double.find('pods', 'pool', name), 'status', 'containerStatuses')[0], 'state');
      expect(state, name).toMatchObject({ waiting: { reason: 'CreateContainerError' } });
    }
  });
});
