import type { HostListAnswer, StatusAnswer } from '@muster/protocol';
import type { Finding } from './finding.ts';

/** A cluster that answers, judged by what one replica shows of it. */
export function examineCluster(status: StatusAnswer, { hosts }: HostListAnswer): readonly Finding[] {
  const alive = status.replicas.filter(({ isAlive }) => isAlive);
  const finding = (check: string, level: Finding['level'], says: string, mend?: string): Finding => ({
    area: 'cluster',
    check,
    level,
    says,
    ...(mend === undefined ? {} : { mend }),
  });
  const versions = new Set(alive.map(({ id }) => id)).size;
  const owned = new Set(alive.flatMap(({ shards }) => shards));
  const ownerless = status.shards.filter(({ shard }) => !owned.has(shard));
  const frozen = status.shards.filter(({ isFrozen }) => isFrozen);
  const silent = hosts.filter(({ isSilent }) => isSilent);
  const open = status.pools.filter(({ isBreakerOpen }) => isBreakerOpen);
  const held = status.pools.filter(({ isHeld }) => isHeld);
  const paused = status.pools.filter(({ isPaused }) => isPaused);
  return [
    versions > 1
      ? finding('replicas', 'ok', `${versions} replicas of cluster ${status.cluster}`)
      : finding('replicas', 'warning', 'one replica: reservations wait while it restarts', 'run three'),
    ...ownerless.map(({ shard }) =>
      finding('shards', 'warning', `nobody owns ${shard} now`, 'it is taken within seconds; if not, look at the logs of the replicas'),
    ),
    ...frozen.map(({ shard }) =>
      finding('shards', 'warning', `${shard} is frozen: an append has not been answered`, 'look at NATS above: is its stream reachable?'),
    ),
    ...silent.map(({ host, silentMs }) =>
      finding(
        'hosts',
        'warning',
        `host ${host} is silent for ${Math.round(silentMs / 1000)} s; its workers count as alive`,
        `start its agent again, or where it is gone for good: muster hosts forget ${host}`,
      ),
    ),
    ...open.map(({ pool, breakerReason }) =>
      finding(
        'spawns',
        'problem',
        `workers of ${pool} do not start: ${breakerReason ?? 'no reason given'}`,
        'mend the command or the image of the pool, and muster apply',
      ),
    ),
    ...held.map(({ pool }) => finding('scaling', 'warning', `${pool} is held: it does not scale`, `muster resume ${pool}`)),
    ...paused.map(({ pool }) => finding('reserves', 'warning', `${pool} is paused: it refuses reserves`, `muster resume ${pool}`)),
  ];
}
