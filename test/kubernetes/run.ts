// `npm run test:kubernetes [-- --kubelet=simulated] [--context=NAME] [--image=IMAGE] [--long] [what vitest takes]`
//
// Runs the tests named `*.cluster.test.ts` on the cluster of KUBECONFIG, in namespaces of their own that they remove; on the
// double where it is not set. `--kubelet=simulated`: nothing but a reachable API server is needed, no scheduler, controller or
// node. `--long`: nodes take 30 s to come, and outages last two minutes. The context's user has to be allowed to make namespaces and, in them, everything.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter } from 'node:path';
import { parseArgs } from 'node:util';

const OWN = { kubelet: { type: 'string' }, context: { type: 'string' }, image: { type: 'string' }, long: { type: 'boolean' } } as const;

const { values, tokens } = parseArgs({ options: OWN, strict: false, allowPositionals: true, tokens: true });
const isOwn = (token: (typeof tokens)[number]): boolean => token.kind === 'option' && token.name in OWN;
const others = tokens.filter((token) => !isOwn(token)).map((token) => process.argv[token.index + 2] as string);
const text = (value: string | boolean | undefined): string => (typeof value === 'string' ? value : '');
const env = {
  ...process.env,
  MUSTER_TEST_KUBECONFIG: process.env.KUBECONFIG?.split(delimiter)[0] ?? '',
  MUSTER_TEST_KUBELET: text(values.kubelet),
  MUSTER_TEST_KUBE_CONTEXT: text(values.context),
  MUSTER_TEST_KUBE_IMAGE: text(values.image),
  MUSTER_TEST_KUBE_LONG: String(values.long === true),
};
const vitest = spawn('vitest', ['run', '--project', 'kubernetes', ...others], { stdio: 'inherit', env });
const [code] = (await once(vitest, 'exit')) as [number | null];
process.exitCode = code ?? 1;
