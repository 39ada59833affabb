import { createHash } from 'node:crypto';
import { LABEL_PREFIX, MANAGED_BY_LABEL } from '@muster/protocol';

/** Labels of a worker's pod and Secret (DESIGN 9). */
export const LABELS = {
  managedBy: MANAGED_BY_LABEL,
  cluster: `${LABEL_PREFIX}cluster`,
  pool: `${LABEL_PREFIX}pool`,
  shard: `${LABEL_PREFIX}shard`,
  slot: `${LABEL_PREFIX}slot`,
  org: `${LABEL_PREFIX}org`,
} as const;
export const MANAGED_BY = 'muster';

/** Selects what is Muster's, and this cluster's alone. */
export function clusterSelector(cluster: string): string {
  return `${LABELS.managedBy}=${MANAGED_BY},${LABELS.cluster}=${cluster}`;
}

export function slotLabels(cluster: string, spec: { readonly pool: string; readonly shard: string; readonly slot: string }) {
  return {
    [LABELS.managedBy]: MANAGED_BY,
    [LABELS.cluster]: cluster,
    [LABELS.pool]: spec.pool,
    [LABELS.shard]: spec.shard,
    [LABELS.slot]: spec.slot,
  };
}

/** An org as a label's value: itself where Kubernetes allows it (63 characters, no dash at an end), else a hash of it. */
export function orgLabel(org: string): string {
  if (org.length <= 63 && /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/.test(org)) return org;
  return `org-${createHash('sha256').update(org).digest('hex').slice(0, 40)}`;
}
