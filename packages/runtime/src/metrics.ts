import type { Counter, Gauge, Histogram, Metrics } from '@muster/ports';

/** What the runtime counts; the names are part of the reference. */
export interface RuntimeMetrics {
  readonly appendSeconds: Histogram;
  readonly changesPerRecord: Histogram;
  readonly takeovers: Counter;
  readonly shards: Gauge;
  readonly shardsOwned: Gauge;
  readonly mailboxRefused: Counter;
  readonly shadowReloads: Counter;
  readonly deposed: Counter;
  readonly quarantined: Counter;
}

const SECONDS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const CHANGES = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

export function makeRuntimeMetrics(metrics: Metrics): RuntimeMetrics {
  return {
    appendSeconds: metrics.histogram({
      name: 'muster_journal_append_seconds',
      help: 'From sending a record to its acknowledgement.',
      labels: ['shard'],
      buckets: SECONDS,
    }),
    changesPerRecord: metrics.histogram({
      name: 'muster_journal_events_per_record',
      help: 'Changes in one record of a journal; 0 is a confirm.',
      buckets: CHANGES,
    }),
    takeovers: metrics.counter({
      name: 'muster_takeovers_total',
      help: 'Shards that this replica became the owner of.',
      labels: ['shard'],
    }),
    shards: metrics.gauge({ name: 'muster_shards', help: 'Shards that there are, as this replica knows the configuration.' }),
    shardsOwned: metrics.gauge({ name: 'muster_shards_owned', help: 'Shards that this replica owns.' }),
    mailboxRefused: metrics.counter({
      name: 'muster_mailbox_refused_total',
      help: 'Commands refused because the mailbox of their shard was full, or dropped in it at their deadline.',
    }),
    shadowReloads: metrics.counter({
      name: 'muster_shadow_reloads_total',
      help: 'How often the read models were read again from the start.',
    }),
    deposed: metrics.counter({ name: 'muster_deposed_total', help: 'Shards that this replica lost to another without handing them over.' }),
    quarantined: metrics.counter({ name: 'muster_actors_quarantined_total', help: 'Actors that threw twice on one event.' }),
  };
}
