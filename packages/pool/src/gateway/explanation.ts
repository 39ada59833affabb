// Why it is as it is, in sentences: what a pool wants and what keeps it from that, where a slot comes from and how it ended.
// From this replica's read models, for people; nothing decides from it.
import type { ClusterConfig, PoolSpec, SlotContext, SlotStateName } from '@muster/domain';
import type { IntentSummary, PoolSummary } from '@muster/protocol';

const one = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;

/** What a pool wants, what it has, what bounds and stops it, and its last decisions (newest first). */
export function explainPool(pool: PoolSummary, spec: PoolSpec, intents: readonly IntentSummary[], nowMs: number): readonly string[] {
  const { floor, waiting, refused, warm, spawning } = pool;
  const wanted = floor + waiting + refused;
  return [
    `${wanted} wanted: floor ${floor}, ${waiting} waiting, ${refused} refused and expected again`,
    `${warm + spawning} there for them: ${warm} warm, ${spawning} spawning; beside them ${pool.reserved} reserved, ${pool.parked} parked, ${pool.draining} draining`,
    balanceOf(pool, wanted - warm - spawning, warm - wanted, spec),
    ceilingOf(pool),
    ...(pool.isPaused ? [`it is paused: reserves are refused until muster resume ${pool.pool}`] : []),
    ...(pool.isHeld
      ? [`it is held${pool.holdLeftMs === null ? '' : ` for ${seconds(pool.holdLeftMs)} more`}: nothing is started or drained`]
      : []),
    ...(pool.isBreakerOpen
      ? [`its workers do not come up (${pool.breakerReason ?? 'no reason given'}): one is tried now and then, nothing else is started`]
      : []),
    ...(pool.unreachable > 0 ? [`${one(pool.unreachable, 'worker')} not heard of: kept, and given to nobody`] : []),
    ...(intents.length === 0 ? ['nothing was decided for it yet'] : intents.map((intent) => intentSaid(intent, nowMs))),
  ];
}

/** What an org has in a pool, and what keeps it from more. */
export function explainOrg(
  org: string,
  max: number,
  counts: { readonly reserved: number; readonly parked: number; readonly waiting: number },
): string {
  const has = counts.reserved + counts.parked + counts.waiting;
  const cap = max === 0 ? 'it has no cap' : has >= max ? `that is its cap of ${max}: more is refused (org-cap)` : `its cap is ${max}`;
  return `${org} has ${counts.reserved} reserved, ${counts.parked} parked and ${counts.waiting} waiting: ${cap}`;
}

/** Where a slot comes from, whose it is and why it ended. */
export function explainSlot(
  slot: SlotContext,
  at: { readonly state: SlotStateName; readonly forMs: number; readonly isUnreachable: boolean },
  config: ClusterConfig | undefined,
  intent: IntentSummary | undefined,
  nowMs: number,
): readonly string[] {
  const { epoch, reservation, org, lastEnd, reason, detail, hold, host, templateHash } = slot;
  const spec = config?.pools[slot.pool];
  return [
    `${slot.id} is ${at.state} for ${seconds(at.forMs)}${host === null ? '' : `, on ${host}`}`,
    intent === undefined ? `intent ${slot.intent} made it, which is too long ago to be known` : `made by ${intentSaid(intent, nowMs)}`,
    ...(hold === undefined
      ? []
      : [hold.isOver ? 'it had to wait for room, and has it now' : `the cluster has no room for it: ${hold.reason}`]),
    ...(reservation === null
      ? []
      : [
          `${org} has it: reservation ${reservation.id}, granted from ${reservation.source}, with a lease of ${seconds(reservation.ttlMs)}`,
        ]),
    ...(at.state === 'reserved.parked' ? [`kept for ${org}, which may have it back`] : []),
    ...(lastEnd === null ? [] : [`its reservation of epoch ${lastEnd.epoch} ended: ${lastEnd.reason}`]),
    ...(epoch === 0 ? ['nobody has had it'] : []),
    ...(reason === null ? [] : [`it goes: ${detail === null ? reason : `${reason} (${detail})`}`]),
    ...(spec === undefined ? ['its pool is no longer configured'] : []),
    ...(spec !== undefined && spec.templateHash !== templateHash ? ['it was started from a template that has been replaced since'] : []),
    ...(at.isUnreachable ? ['its worker is not heard of; silence alone ends no reservation'] : []),
  ];
}

function balanceOf(pool: PoolSummary, missing: number, surplus: number, spec: PoolSpec): string {
  if (missing > 0) return `${missing} missing: started by the next intent, as far as nothing below stands against it`;
  if (surplus > 0) {
    const { afterMs, everyMs } = spec.scaleDown;
    return `${surplus} more than wanted: after ${seconds(afterMs)} of that a quarter of them is drained, every ${seconds(everyMs)}`;
  }
  return pool.spawning > 0 ? 'nothing is missing once they are up' : 'nothing is missing';
}

function ceilingOf({ max, capacity, reserved, parked, warm, spawning, draining }: PoolSummary): string {
  const live = reserved + parked + warm + spawning + draining;
  if (capacity.kind === 'unknown') return `what bounds it is not known (${capacity.why}): nothing is started until it is`;
  if (capacity.kind === 'unbounded') return `${live} live; nothing of Muster's bounds them: the cluster's autoscaler does`;
  const room = Math.max(0, capacity.max - live);
  return `${live} live of ${capacity.max} at the most (${max > 0 ? 'its max' : capacity.why}): room for ${room}`;
}

function intentSaid({ n, kind, decidedAtMs, slots, applied, inputs }: IntentSummary, nowMs: number): string {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const asked = sum(Object.values(slots));
  const done = Object.values(applied);
  const refused = done.flatMap(({ reason }) => (reason === null ? [] : [reason]));
  const verb = kind === 'down' ? 'drain' : 'start';
  const result =
    done.length === 0
      ? 'not applied yet'
      : refused.length > 0
        ? `${sum(done.map(({ started }) => started))} started, the rest refused: ${refused.join('; ')}`
        : kind === 'down'
          ? `${sum(done.map(({ drained }) => drained))} drained`
          : 'applied';
  return `intent ${n} (${kind}), ${seconds(Math.max(0, nowMs - decidedAtMs))} ago: ${verb} ${asked}, ${result}; from ${wordsOf(inputs)}`;
}

/** The numbers of a decision, shard by shard. */
function wordsOf(inputs: unknown): string {
  return Object.entries(inputs as Readonly<Record<string, Readonly<Record<string, number | string>>>>)
    .map(([shard, numbers]) => {
      const { floor, waiting, refused, warm, spawning, ordered } = numbers;
      return `${shard}: floor ${floor}, ${waiting} waiting, ${refused} refused, ${warm} warm, ${spawning} spawning, ${ordered} ordered`;
    })
    .join('; ');
}
