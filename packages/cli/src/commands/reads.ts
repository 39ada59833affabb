import { formatSize, SLOT_STATES } from '@muster/domain';
import type { AdminAnswers, IntentSummary, OrgSummary, PoolSummary, SlotSummary } from '@muster/protocol';
import { Option } from 'commander';
import { askAdmin } from '../cluster/ask-admin.ts';
import { formatMs, formatTable, orDash } from '../output/format.ts';
import {
  type ClusterOptions,
  type RegisterCommands,
  show,
  useCluster,
  wholeNumberArgument,
  withClusterOptions,
} from './cluster-command.ts';

/** Pages are read one after the other up to here; more is said, not dropped in silence. */
const PAGES_MAX = 200;

/** `status`, `pools`, `slots`, `orgs`, `intents`, `explain`: what there is, and why. */
export const registerReads: RegisterCommands = (program, context) => {
  withClusterOptions(program.command('status'))
    .description('replicas, shards and pools')
    .action(async (options: ClusterOptions) => {
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'status' }));
      show(context, options, answer, statusText);
    });

  withClusterOptions(program.command('pools'))
    .description('pools, and their workers by state')
    .action(async (options: ClusterOptions) => {
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, { type: 'pools' }));
      show(context, options, answer, ({ pools }) => poolsText(pools));
    });

  withClusterOptions(program.command('slots'))
    .description('workers, one by one')
    .option('--pool <pool>', 'of this pool only')
    .addOption(new Option('--state <state>', 'in this state only').choices(SLOT_STATES))
    .option('--org <org>', 'of this org only')
    .action(async (options: ClusterOptions & { pool?: string; state?: SlotSummary['state']; org?: string }) => {
      const { pool, state, org } = options;
      const filter = {
        ...(pool === undefined ? {} : { pool }),
        ...(state === undefined ? {} : { state }),
        ...(org === undefined ? {} : { org }),
      };
      const slots: SlotSummary[] = [];
      const hasMore = await useCluster(context, options, (bus) =>
        readPages(async (page) => {
          const answer = await askAdmin(bus, { type: 'slots', ...filter, page });
          slots.push(...answer.slots);
          return answer.hasMore;
        }),
      );
      show(context, options, { ok: true, slots, hasMore }, () => slotsText(slots, hasMore));
    });

  withClusterOptions(program.command('orgs'))
    .description('tenants: their caps, and what they have')
    .action(async (options: ClusterOptions) => {
      const orgs: OrgSummary[] = [];
      const hasMore = await useCluster(context, options, (bus) =>
        readPages(async (page) => {
          const answer = await askAdmin(bus, { type: 'orgs', page });
          orgs.push(...answer.orgs);
          return answer.hasMore;
        }),
      );
      show(context, options, { ok: true, orgs, hasMore }, () => orgsText(orgs));
    });

  withClusterOptions(program.command('intents'))
    .description('scaling decisions, newest first, and the numbers that led to them')
    .option('--pool <pool>', 'of this pool only')
    .option('--limit <n>', 'so many', wholeNumberArgument(1, 200), 20)
    .action(async (options: ClusterOptions & { pool?: string; limit: number }) => {
      const { pool, limit } = options;
      const request = { type: 'intents', limit, ...(pool === undefined ? {} : { pool }) } as const;
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, request));
      show(context, options, answer, ({ intents }) => intentsText(intents, context.clock.wallMs()));
    });

  withClusterOptions(program.command('explain'))
    .argument('<what>', 'a pool, a slot or a reservation')
    .description('why a pool scales as it does, or where a worker comes from and how it ended')
    .option('--org <org>', 'of a pool: also what this org has there, and may have')
    .action(async (of: string, options: ClusterOptions & { org?: string }) => {
      const request = { type: 'explain', of, ...(options.org === undefined ? {} : { org: options.org }) } as const;
      const answer = await useCluster(context, options, (bus) => askAdmin(bus, request));
      show(context, options, answer, ({ says }) => says.join('\n'));
    });
};

/** @returns whether there is more than was read */
async function readPages(read: (page: number) => Promise<boolean>): Promise<boolean> {
  for (let page = 0; page < PAGES_MAX; page++) if (!(await read(page))) return false;
  return true;
}

function statusText({ cluster, replica, configVersion, replicas, shards, pools }: AdminAnswers['status']): string {
  const replicaRows = replicas.map(({ id, isAlive, http, shards: owned }) => [
    id,
    isAlive ? 'alive' : 'silent',
    orDash(http),
    orDash(owned.join(' ')),
  ]);
  const shardRows = shards.map(({ shard, owner, epoch, seq, isFrozen }) => [shard, orDash(owner), epoch, seq, isFrozen ? 'frozen' : '-']);
  return [
    `cluster ${cluster}, configuration ${configVersion}, answered by ${replica}`,
    formatTable(['REPLICA', 'STATE', 'HTTP', 'SHARDS'], replicaRows),
    formatTable(['SHARD', 'OWNER', 'EPOCH', 'SEQ', 'NOTE'], shardRows),
    poolsText(pools),
  ].join('\n\n');
}

/** `pools` as text. */
export function poolsText(pools: readonly PoolSummary[]): string {
  if (pools.length === 0) return 'no pools';
  const heading = ['POOL', 'FLOOR', 'MAX', 'WARM', 'SPAWNING', 'RESERVED', 'PARKED', 'DRAINING', 'WAITING', 'NOTE'];
  const rows = pools.map((pool) => [
    pool.pool,
    pool.floor,
    maxOf(pool),
    pool.warm,
    pool.spawning,
    pool.reserved,
    pool.parked,
    pool.draining,
    pool.waiting,
    orDash(notesOf(pool).join('; ')),
  ]);
  const whys = pools.flatMap(({ pool, max, capacity }) =>
    max > 0 || capacity.kind === 'unbounded'
      ? []
      : [`${pool}: max ${capacity.kind === 'bounded' ? capacity.max : capacity.kind}: ${capacity.why}`],
  );
  return [formatTable(heading, rows), ...whys].join('\n');
}

function maxOf({ max, capacity }: PoolSummary): string {
  if (max > 0) return String(max);
  return capacity.kind === 'bounded' ? String(capacity.max) : capacity.kind;
}

function notesOf(pool: PoolSummary): readonly string[] {
  return [
    ...(pool.isPaused ? ['paused: refuses reserves'] : []),
    ...(pool.isHeld ? [`held${pool.holdLeftMs === null ? '' : ` for ${formatMs(pool.holdLeftMs)}`}`] : []),
    ...(pool.isBreakerOpen ? [`spawns fail: ${orDash(pool.breakerReason)}`] : []),
    ...(pool.unreachable > 0 ? [`${pool.unreachable} unreachable`] : []),
    ...(pool.refused > 0 ? [`${pool.refused} refused`] : []),
  ];
}

function slotsText(slots: readonly SlotSummary[], hasMore: boolean): string {
  if (slots.length === 0) return 'no slots';
  const heading = ['SLOT', 'STATE', 'FOR', 'ORG', 'RESERVATION', 'HOST', 'PID', 'ENDPOINT', 'NOTE'];
  const rows = slots.map((slot) => [
    slot.slot,
    slot.state,
    formatMs(slot.ageMs),
    orDash(slot.org),
    orDash(slot.reservation),
    orDash(slot.host),
    orDash(slot.pid),
    orDash(slot.endpoint),
    orDash([slot.isUnreachable ? 'unreachable' : '', slot.reason ?? ''].filter((note) => note !== '').join('; ')),
  ]);
  return `${formatTable(heading, rows)}${hasMore ? `\nand more: ${slots.length} are shown` : ''}`;
}

/** `orgs` as text. */
export function orgsText(orgs: readonly OrgSummary[]): string {
  if (orgs.length === 0) return 'no orgs';
  const rows = orgs.flatMap(({ org, max, weight, pools }) => {
    const limit = max === 0 ? 'none' : String(max);
    if (pools.length === 0) return [[org, limit, weight, '-', 0, 0, 0]];
    return pools.map((pool) => [org, limit, weight, pool.pool, pool.reserved, pool.parked, pool.waiting]);
  });
  return formatTable(['ORG', 'CAP', 'WEIGHT', 'POOL', 'RESERVED', 'PARKED', 'WAITING'], rows);
}

/** `intents` as text. */
export function intentsText(intents: readonly IntentSummary[], nowWallMs: number): string {
  if (intents.length === 0) return 'no intents';
  const rows = intents.map(({ n, pool, kind, decidedAtMs, slots, applied, inputs }) => {
    const total = Object.values(slots).reduce((sum, count) => sum + count, 0);
    const done = Object.values(applied).reduce((sum, { started, drained }) => sum + (kind === 'down' ? drained : started), 0);
    const why = Object.values(applied).flatMap(({ reason }) => (reason === null ? [] : [reason]));
    return [
      n,
      pool,
      kind,
      `${formatMs(Math.max(0, nowWallMs - decidedAtMs))} ago`,
      total,
      done,
      orDash(why.join('; ')),
      JSON.stringify(inputs),
    ];
  });
  return formatTable(['INTENT', 'POOL', 'KIND', 'DECIDED', 'SLOTS', 'APPLIED', 'NOTE', 'INPUTS'], rows);
}

/** `hosts` as text. */
export function hostsText(hosts: AdminAnswers['hosts']['hosts']): string {
  if (hosts.length === 0) return 'no hosts';
  const rows = hosts.map(({ host, isSilent, silentMs, workers, memoryBudgetBytes, pid }) => [
    host,
    isSilent ? `silent for ${formatMs(silentMs)}` : 'alive',
    workers,
    formatSize(memoryBudgetBytes),
    pid,
  ]);
  return formatTable(['HOST', 'STATE', 'WORKERS', 'BUDGET', 'PID'], rows);
}
