// A whole cluster of Muster whose workers are pods: real replicas, a real nats-server, workers of the SDK in this process, and
// whatever API server the tests were given, behind a way that can be cut.
import { writeFile } from 'node:fs/promises';
import {
  eventually,
  type KubernetesAccess,
  type KubernetesObject,
  type NodePlan,
  type PodRuntime,
  type SimulatedCluster,
  startTcpProxy,
  type TcpProxy,
} from '@muster/testkit';
import { expect } from 'vitest';
import { type Cluster, SLOW, startCluster } from '../integration/support/cluster.ts';
import { type KubernetesWorld, startKubernetesWorld } from './kubernetes-world.ts';
import { WorkerPods } from './worker-pods.ts';

export const POOL = 'duckdb';
const HTTPS_PORT = 443;

export interface PodCluster extends AsyncDisposable {
  readonly muster: Cluster;
  readonly world: KubernetesWorld;
  readonly workers: WorkerPods;
  /** Who plays the nodes; undefined on a cluster that has some. */
  readonly played: SimulatedCluster | undefined;
  /** The replicas' way to the API server. */
  readonly way: TcpProxy;
  /** Every pod that was ever there, by name, with how many uids it had. */
  readonly seen: ReadonlyMap<string, ReadonlySet<string>>;
  /** A configuration to apply, with the pool as it says. */
  configWith(pool: Readonly<Record<string, unknown>>): string;
}

/** Starts it, with nothing warm that the pool does not ask for. */
export async function startPodCluster(options: {
  readonly nodes: NodePlan;
  readonly pool: Readonly<Record<string, unknown>>;
  /** What runs the pods, where it is not `WorkerPods`. */
  readonly runtime?: (access: KubernetesAccess) => PodRuntime;
}): Promise<PodCluster> {
  await using resources = new AsyncDisposableStack();
  const world = resources.use(await startKubernetesWorld());
  const server = new URL(world.cluster.access.server);
  const host = server.hostname.replace(/^\[|\]$/g, '');
  const way = resources.use(await startTcpProxy(Number(server.port || HTTPS_PORT), host));
  const kubeconfig = `${world.kubeconfig}-by-the-way`;
  const byTheWay = `${server.protocol}//127.0.0.1:${way.port}${server.pathname.replace(/\/$/, '')}`;
  await writeFile(kubeconfig, world.kubeconfigFor({ server: byTheWay, serverName: world.cluster.access.serverName ?? host }));
  const workers = resources.use(new WorkerPods(world.api));
  const played = await world.cluster.runPods({ nodes: options.nodes, runtime: options.runtime?.(world.cluster.access) ?? workers });
  const seen = new Map<string, Set<string>>();
  resources.defer(await watchPods(world, seen));
  const podTemplate = { containers: [{ name: 'worker', image: 'registry.example/worker:1', ports: [{ containerPort: 8080 }] }] };
  const poolsWith = (pool: Readonly<Record<string, unknown>>) => ({ [POOL]: { driver: 'kubernetes', podTemplate, ...pool } });
  const muster = resources.use(
    await startCluster({
      host: 'none',
      kubernetes: { kubeconfig, namespace: world.namespace },
      pools: poolsWith(options.pool),
    }),
  );
  const scope = resources.move();
  const configWith = (pool: Readonly<Record<string, unknown>>) => JSON.stringify({ cluster: { name: 'test' }, pools: poolsWith(pool) });
  return { muster, world, workers, played, way, seen, configWith, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

async function watchPods(world: KubernetesWorld, seen: Map<string, Set<string>>): Promise<() => void> {
  return world.api.watch(`${world.path}/pods?watch=true&timeoutSeconds=3600`, {
    onEvent: ({ type, object }) => {
      if (type !== 'ADDED') return;
      const { name, uid } = (object as unknown as KubernetesObject).metadata;
      seen.set(name, (seen.get(name) ?? new Set()).add(uid));
    },
    onEnd: (error) => {
      if (error !== undefined) throw error;
    },
  });
}

/** No pod was made twice, and what is there is what the journal has: pods and Secrets have slots, and slots have both. */
export async function expectAccountedFor({ muster, world, seen }: PodCluster): Promise<void> {
  expect([...seen].filter(([, uids]) => uids.size > 1)).toEqual([]);
  await eventually(async () => {
    const slots = (await muster.slots(POOL)).map(({ slot }) => slot).toSorted();
    expect((await world.names('pods')).toSorted()).toEqual(slots);
    expect((await world.names('secrets')).toSorted()).toEqual(slots);
  }, SLOW);
}
