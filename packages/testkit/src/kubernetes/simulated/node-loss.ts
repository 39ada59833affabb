// What the control plane does about a node that it hears nothing of any more.
import type { Clock } from '@muster/ports';
import { type JsonObject, type KubernetesObject, stringAt, timestamp } from '../object.ts';
import type { ApiClient } from './api-client.ts';

/** How long it takes to be believed. Defaults are those of a real control plane. */
export interface NodeLoss {
  /** Until its pods are shown as not ready. Default 40 s. */
  readonly notReadyMs?: number;
  /** From then until its pods are deleted; they stay, with a deletionTimestamp, since no kubelet answers. Default 5 min. */
  readonly evictMs?: number;
  /** The node itself was taken away (a machine that was reclaimed): its pods fail and are removed at `evictMs`. */
  readonly isRemoved?: boolean;
}

const STRATEGIC = { contentType: 'application/strategic-merge-patch+json' };

/** Plays it for the pods that `podsOf` gives, unless the node has come back (`isLost`). */
export async function playNodeLoss(
  {
    client,
    clock,
    podsOf,
    isLost,
  }: {
    readonly client: ApiClient;
    readonly clock: Clock;
    readonly podsOf: () => readonly KubernetesObject[];
    readonly isLost: () => boolean;
  },
  { notReadyMs = 40_000, evictMs = 300_000, isRemoved = false }: NodeLoss,
): Promise<void> {
  const pass = (ms: number): Promise<void> => new Promise((resolve) => void clock.setTimer(ms, resolve));
  const condition = (type: string, status: string, why: JsonObject = {}): JsonObject => ({
    type,
    status,
    lastTransitionTime: timestamp(clock.wallMs()),
    ...why,
  });
  const write = async (pod: KubernetesObject, status: JsonObject): Promise<void> => {
    await client.call('PATCH', `${pathOf(pod)}/status`, { ...STRATEGIC, body: { status } }, [404]);
  };
  await pass(notReadyMs);
  if (!isLost()) return;
  for (const pod of podsOf()) await write(pod, { conditions: [condition('Ready', 'False')] });
  await pass(evictMs);
  if (!isLost()) return;
  for (const pod of podsOf()) {
    const reason = isRemoved ? 'DeletionByPodGC' : 'DeletionByTaintManager';
    const message = isRemoved ? 'PodGC: node no longer exists' : 'Taint manager: deleting due to NoExecute taint';
    const phase = stringAt(pod, 'status', 'phase');
    const isLive = phase === 'Pending' || phase === 'Running';
    await write(pod, {
      ...(isRemoved && isLive ? { phase: 'Failed' } : {}),
      conditions: [condition('DisruptionTarget', 'True', { reason, message })],
    });
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(isRemoved ? { gracePeriodSeconds: 0 } : {}),
      preconditions: { uid: pod.metadata.uid },
    };
    await client.call('DELETE', pathOf(pod), { body }, [404, 409]);
  }
}

function pathOf({ metadata }: KubernetesObject): string {
  return `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
}
