// A double of a Kubernetes cluster that listens: `npm run kube-double -- --kubeconfig ./kubeconfig`
//
// Its pods are played, or (--pods=processes) run as processes of this machine: their commands, not their images. It has no
// other purpose than trying things and tests; what it holds is gone when it ends.
import { parseArgs } from 'node:util';
import { ProcessPods, startKubernetesDouble, startSimulatedCluster } from '@muster/testkit';

const USAGE = `npm run kube-double -- [options]
  --kubeconfig FILE     written; default kube-double.yaml
  --port N              default: any that is free
  --tls                 with a certificate of its own
  --bare                no controllers, no scheduler, no kubelet: an API server and nothing else
  --namespace NAME      made; default muster
  --nodes N             there from the start; default 3
  --nodes-max N         ordered when pods find no room; default: as --nodes
  --pods-per-node N     default 110
  --node-arrives MS     from order to room; default 30000
  --pods played|processes   default played
  --start MS            until a played pod is ready; default 100
  --logs FOLDER         what processes print`;

const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string', default: 'kube-double.yaml' },
    port: { type: 'string', default: '0' },
    tls: { type: 'boolean', default: false },
    bare: { type: 'boolean', default: false },
    namespace: { type: 'string', default: 'muster' },
    nodes: { type: 'string', default: '3' },
    'nodes-max': { type: 'string' },
    'pods-per-node': { type: 'string', default: '110' },
    'node-arrives': { type: 'string', default: '30000' },
    pods: { type: 'string', default: 'played' },
    start: { type: 'string', default: '100' },
    logs: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function count(name: 'port' | 'nodes' | 'nodes-max' | 'pods-per-node' | 'node-arrives' | 'start'): number {
  const value = Number(values[name] ?? values.nodes);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} is ${values[name]}, not a number of 0 or more`);
  return value;
}

async function run(): Promise<void> {
  await using resources = new AsyncDisposableStack();
  const { kubeconfig, tls, bare, namespace, pods, logs } = values;
  if (pods !== 'played' && pods !== 'processes') throw new Error(`--pods is ${pods}, not played or processes`);
  const double = resources.use(await startKubernetesDouble({ port: count('port'), tls, namespaces: [namespace], hasControllers: !bare }));
  await double.writeKubeconfig(kubeconfig, { namespace });
  if (!bare) {
    const runtime = new ProcessPods({ access: double.access(), ...(logs === undefined ? {} : { logFolder: logs }) });
    const cluster = await startSimulatedCluster(double.access(), {
      nodes: { initial: count('nodes'), max: count('nodes-max'), podsPerNode: count('pods-per-node'), arriveMs: count('node-arrives') },
      ...(pods === 'processes' ? { runtime } : { story: () => ({ startMs: count('start') }) }),
      onError: (error) => console.error(String(error)),
    });
    resources.use(cluster);
  }
  console.log(`${double.url} listens; KUBECONFIG=${kubeconfig}, namespace ${namespace}. Ctrl-C ends it.`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

if (values.help) console.log(USAGE);
else await run();
