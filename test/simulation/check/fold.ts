// The journals as somebody reads them who knows only how they are written: the checkers' own fold, independent of the product's.
import type { ClusterConfig } from '@muster/domain';
import type { JournalMessage } from '@muster/ports';

export interface ReadRecord {
  readonly by: string;
  readonly epoch: number;
  readonly op: string;
  readonly prev: string;
  readonly type: 'ops' | 'epoch' | 'handover' | 'snapshot' | 'confirm';
  readonly set?: readonly (readonly [kind: string, id: string, value: unknown])[];
  readonly replica?: string;
  readonly to?: string;
}

export interface FoldedReservation {
  readonly id: string;
  readonly requestId: string;
  readonly ttlMs: number;
}

export interface FoldedSlot {
  readonly id: string;
  readonly pool: string;
  readonly state: string;
  readonly epoch: number;
  readonly org: string | null;
  readonly reservation: FoldedReservation | null;
  readonly instance: string | null;
  readonly intent: number;
  readonly lastEnd: { readonly epoch: number; readonly reason: string } | null;
}

export interface FoldedIntent {
  readonly n: number;
  readonly pool: string;
  readonly kind: string;
  readonly decidedAtMs: number;
  readonly parts: Readonly<
    Record<string, { readonly start: number; readonly drain: number; readonly inputs: Readonly<Record<string, number | string>> }>
  >;
}

export interface FoldedConfig {
  readonly version: number;
  readonly config: ClusterConfig;
}

/** One shard up to its last stored record. */
export class ShardFold {
  readonly shard: string;
  seq = 0;
  op = '';
  by = '';
  epoch = 0;
  owner: string | undefined;
  isHandedOver = false;
  readonly slots = new Map<string, FoldedSlot>();
  configVersion = 0;
  intentApplied = 0;
  intents = 0;

  constructor(shard: string) {
    this.shard = shard;
  }

  /** Slots that are not reaped. */
  get alive(): number {
    return this.slots.size;
  }
  count(...states: readonly string[]): number {
    let count = 0;
    for (const { state } of this.slots.values()) if (states.includes(state)) count += 1;
    return count;
  }
  /** Slots that an org has or could have back. */
  ofOrg(org: string): number {
    let count = 0;
    for (const slot of this.slots.values()) if (slot.org === org && isCounted(slot.state)) count += 1;
    return count;
  }
}

export function isCounted(state: string): boolean {
  return state === 'reserved.activating' || state === 'reserved.active' || state === 'reserved.parked';
}

/** The line of a record; what lies behind it (a snapshot's body) is what was folded already. */
export function readRecord(message: JournalMessage): ReadRecord {
  const text = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength);
  const end = text.indexOf(10);
  return JSON.parse(text.toString('utf8', 0, end < 0 ? text.length : end)) as ReadRecord;
}

/** A stored slot; undefined where it is deleted, or reaped. */
export function readSlot(value: unknown): FoldedSlot | undefined {
  if (value === null) return undefined;
  const { state, context } = value as { readonly state: string | { readonly reserved: string }; readonly context: FoldedSlot };
  if (state === 'reaped') return undefined;
  return { ...context, state: typeof state === 'string' ? state : `reserved.${state.reserved}` };
}
