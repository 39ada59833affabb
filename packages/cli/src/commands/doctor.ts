import { resolve } from 'node:path';
import { ROLES, type Role } from '@muster/nats';
import { isMusterError, type ParsedConfig } from '@muster/protocol';
import { Option } from 'commander';
import { askAdmin } from '../cluster/ask-admin.ts';
import { type FoundServers, findServers } from '../cluster/find-servers.ts';
import type { CliContext } from '../context.ts';
import { examineCluster } from '../doctor/examine-cluster.ts';
import { examineConfiguration } from '../doctor/examine-configuration.ts';
import { examineKubernetes } from '../doctor/examine-kubernetes.ts';
import { examineNats } from '../doctor/examine-nats.ts';
import { type Finding, findingsText } from '../doctor/finding.ts';
import { CliError, tlsHint } from '../exit.ts';
import { type ClusterOptions, type RegisterCommands, show, withClusterOptions } from './cluster-command.ts';

interface DoctorOptions extends ClusterOptions {
  readonly config: string;
  readonly role: Role;
  readonly monitoring?: string;
}

const MONITORING_MS = 5_000;
const ADMIN_MS = 3_000;
/** Who may ask a replica for its status. */
const STEERS: readonly Role[] = ['admin'];

/** `doctor`: what is wrong with a configuration, a NATS and a cluster, and what to do about it. */
export const registerDoctor: RegisterCommands = (program, context) => {
  withClusterOptions(program.command('doctor'))
    .description('say what is wrong with a configuration, its NATS and the cluster on it, and how to mend it; changes nothing')
    .option('--config <file>', 'configuration', 'muster.yaml')
    .addOption(new Option('--role <role>', 'whose work the credentials are for').choices(ROLES).default('admin'))
    .option('--monitoring <url>', 'monitoring port of the nats-server, for what only that tells')
    .action((options: DoctorOptions) => examine(context, options));
};

async function examine(context: CliContext, options: DoctorOptions): Promise<void> {
  const { findings: ofFile, parsed } = examineConfiguration(resolve(context.folder, options.config));
  const findings = [...ofFile];
  if (parsed !== undefined) {
    findings.push(...(await examineServers(context, options, parsed)));
    if (Object.values(parsed.config.pools).some(({ driver }) => driver === 'kubernetes')) {
      // What nobody else waits for: its client library takes longer to load than all the rest.
      const { inspectKubernetes } = await import('@muster/kubernetes');
      findings.push(...examineKubernetes(await inspectKubernetes(parsed.kubernetes, context.clock)));
    }
  }
  const isSound = findings.every(({ level }) => level !== 'problem');
  show(context, options, { ok: isSound, findings }, () => findingsText(findings));
  if (!isSound) throw new CliError('unsound', 'there are problems', { isAnswered: true, hint: 'mend the first one, and ask again' });
}

async function examineServers(context: CliContext, options: DoctorOptions, parsed: ParsedConfig): Promise<readonly Finding[]> {
  const target = findServers(context, { ...options, configuration: options.config });
  const where = target.servers.join(', ');
  const problem = (check: string, says: string, mend: string): Finding => ({ area: 'nats', check, level: 'problem', says, mend });
  let nats: Awaited<ReturnType<CliContext['dial']>>;
  try {
    nats = await context.dial(target);
  } catch (error) {
    if (!isMusterError(error)) throw error;
    if (error.code === 'unauthorized') {
      return [problem('connection', `NATS at ${where} refuses these credentials, or wants some`, credentialsMend(target))];
    }
    if (error.code === 'disconnected' && error.field !== undefined) return [problem('TLS', error.message, tlsHint(error.field))];
    if (error.code === 'bad-request') return [problem('connection', error.message, 'muster nats-config writes files of credentials')];
    return [
      problem('connection', `${where}: ${error.message}`, 'is nats-server running there, and does it want TLS? --nats names another'),
    ];
  }
  try {
    const facts = { cluster: parsed.cluster.name, replicas: context.environment.natsReplicas ?? parsed.natsReplicas, role: options.role };
    const inspection = await nats.inspect(facts);
    const monitoring = options.monitoring === undefined ? undefined : await varzOf(options.monitoring);
    const seen = examineNats({ inspection, ...facts, monitoring });
    if (!STEERS.includes(options.role) || seen.some(({ level }) => level === 'problem')) return seen;
    return [...seen, ...(await clusterOn(nats.bus))];
  } finally {
    await nats.close();
  }
}

function credentialsMend({ access }: FoundServers): string {
  if (access.credentials === undefined) return 'name a file of credentials with --creds; muster nats-config writes them';
  return 'are they of this cluster, and does each server include the access.conf that was made with them? After a change it has to be told';
}

async function clusterOn(bus: Parameters<typeof askAdmin>[0]): Promise<readonly Finding[]> {
  try {
    const status = await askAdmin(bus, { type: 'status' }, ADMIN_MS);
    return examineCluster(status, await askAdmin(bus, { type: 'hosts' }, ADMIN_MS));
  } catch (error) {
    if (!isMusterError(error)) throw error;
    const says = error.code === 'no-responders' ? 'no replica runs' : `no replica answers: ${error.message}`;
    return [{ area: 'cluster', check: 'replicas', level: 'warning', says, mend: 'start one; muster up starts a whole cluster' }];
  }
}

/** @throws CliError where it cannot be read: it was named */
async function varzOf(monitoring: string): Promise<unknown> {
  try {
    const response = await fetch(new URL('/varz', monitoring), { signal: AbortSignal.timeout(MONITORING_MS) });
    return await response.json();
  } catch (cause) {
    throw new CliError('disconnected', `${monitoring} does not answer as the monitoring port of a nats-server`, {
      hint: 'set monitor_port in its configuration, or leave --monitoring out',
      cause,
    });
  }
}
