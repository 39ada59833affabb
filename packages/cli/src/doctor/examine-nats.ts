import { isAtLeast, type NatsInspection, type Role } from '@muster/nats';
import type { Finding } from './finding.ts';

/** What is known of a NATS. */
export interface NatsFacts {
  readonly inspection: NatsInspection;
  readonly cluster: string;
  readonly replicas: number;
  readonly role: Role;
  /** `/varz` of its monitoring port, where that was named. */
  readonly monitoring?: unknown;
}

/** The oldest that the start-up gate takes, and from where on several servers are safe (docs/decisions/0006). */
const VERSION_MIN = '2.9.10';
const CLUSTER_VERSION_MIN = '2.11.0';
const RTT_MS_MAX = 20;
const CLOCK_MS_MAX = 1_000;
const PAYLOAD_MIN = 1024 * 1024;
const SHOWN = 5;

/** Judges it, in words that lead to the mend. */
export function examineNats(facts: NatsFacts): readonly Finding[] {
  return [
    version(facts),
    ...jetStream(facts),
    permissions(facts),
    ...sync(facts),
    latency(facts),
    ...clock(facts),
    ...payload(facts),
    ...encryption(facts),
  ].map((one) => ({ area: 'nats', ...one }));
}

type Said = Omit<Finding, 'area'>;

function version({ inspection: { server, api }, replicas }: NatsFacts): Said {
  const says = `nats-server ${server.version}${api.kind === 'seen' ? `, API level ${api.level}` : ''}${server.isClustered ? ', in a cluster' : ''}`;
  if (!isAtLeast(server.version, VERSION_MIN)) {
    return { check: 'version', level: 'problem', says, mend: `${VERSION_MIN} is the oldest that Muster runs on: install a newer one` };
  }
  if (!isAtLeast(server.version, CLUSTER_VERSION_MIN) && (server.isClustered || replicas > 1)) {
    return {
      check: 'version',
      level: 'problem',
      says: `${says}: below 2.11 a cluster lets two writers win, so that two tenants could get one worker`,
      mend: 'install 2.11 or later on every server of the cluster, or run a single server with nats.replicas: 1',
    };
  }
  return { check: 'version', level: 'ok', says };
}

function jetStream({ inspection: { server, api, journals, otherCluster }, cluster, role }: NatsFacts): readonly Said[] {
  if (!server.hasJetStream) {
    return [
      {
        check: 'JetStream',
        level: 'problem',
        says: 'JetStream is off on this server',
        mend: 'add jetstream { store_dir: "/data" } to its configuration',
      },
    ];
  }
  if (api.kind !== 'seen' && api.kind !== 'unauthorized') {
    return [
      {
        check: 'JetStream',
        level: 'problem',
        says: `JetStream does not answer: ${api.why}`,
        mend: 'is it on for this account (jetstream: enabled), and is more than half of the cluster up?',
      },
    ];
  }
  const others: Said[] =
    otherCluster === undefined
      ? []
      : [
          {
            check: 'account',
            level: 'problem',
            says: `this account holds the cluster ${otherCluster}, and one account holds one`,
            mend: `name it ${otherCluster} in cluster.name, or use another account`,
          },
        ];
  return [...others, ...streamOf(journals, cluster, role)];
}

function streamOf(journals: NatsInspection['journals'], cluster: string, role: Role): readonly Said[] {
  const check = 'journals';
  if (journals.kind === 'unauthorized') {
    return [
      {
        check,
        level: 'unknown',
        says: `the user ${role} may not look at the stream`,
        mend: 'look with the credentials of admin, setup or replica',
      },
    ];
  }
  if (journals.kind === 'missing') {
    return [
      {
        check,
        level: 'problem',
        says: `the stream MUSTER_${cluster} is not there`,
        mend: 'muster nats-setup --creds setup.creds makes it',
      },
    ];
  }
  if (journals.kind !== 'seen') {
    return [
      {
        check,
        level: 'problem',
        says: `the stream does not answer: ${journals.why}`,
        mend: 'it has no leader: more than half of its copies must be up',
      },
    ];
  }
  const wrong = journals.differences.map(
    ({ setting, wanted, found }): Said => ({
      check,
      level: 'problem',
      says: `the stream MUSTER_${cluster} has ${setting} ${JSON.stringify(found)}, wanted is ${JSON.stringify(wanted)}`,
      mend:
        setting === 'num_replicas'
          ? `set nats.replicas to ${String(found)}, or change the stream: nats stream edit MUSTER_${cluster} --replicas ${String(wanted)}`
          : `change it back with nats stream edit MUSTER_${cluster}; no replica starts before`,
    }),
  );
  const lagging: readonly Said[] =
    journals.lagging.length === 0
      ? []
      : [
          {
            check: 'copies',
            level: 'warning',
            says: `copies on ${journals.lagging.join(', ')} are offline or behind`,
            mend: 'bring those servers up: one more that fails may stop decisions',
          },
        ];
  return [
    ...(wrong.length > 0 ? wrong : [{ check, level: 'ok' as const, says: `the stream MUSTER_${cluster} is as it should be` }]),
    ...lagging,
  ];
}

function permissions({ inspection: { refused }, role }: NatsFacts): Said {
  if (refused.length === 0)
    return { check: 'permissions', level: 'ok', says: `this user may do what ${role} needs, as far as that can be tried` };
  const more = refused.length > SHOWN ? ` and ${refused.length - SHOWN} more` : '';
  return {
    check: 'permissions',
    level: 'problem',
    says: `${role} needs what this user may not: ${refused.slice(0, SHOWN).join(', ')}${more}`,
    mend: `give it the credentials ${role}.creds of muster nats-config, whose access.conf every server includes; --role says whose work it does`,
  };
}

/** The server tells it on its monitoring port alone, from 2.10 on. */
function sync({ monitoring, inspection, replicas }: NatsFacts): readonly Said[] {
  const check = 'sync';
  if (!inspection.server.hasJetStream) return [];
  const config = (
    monitoring as { readonly jetstream?: { readonly config?: { readonly sync_always?: boolean; readonly store_dir?: string } } } | undefined
  )?.jetstream?.config;
  if (config === undefined) {
    return [
      {
        check,
        level: 'unknown',
        says: 'whether writes survive a power failure is told on the monitoring port alone',
        mend: 'name it: --monitoring http://127.0.0.1:8222 (monitor_port of the server)',
      },
    ];
  }
  if (config.sync_always === true) return [{ check, level: 'ok', says: 'sync_interval: always' }];
  return [
    {
      check,
      level: 'warning',
      says: `writes are acknowledged before they are on the disk${replicas > 1 ? ', which is as good as the power supplies of the copies are apart' : ''}`,
      mend: 'set jetstream { sync_interval: always }: a power failure may otherwise lose what was acknowledged in the last two minutes',
    },
  ];
}

function latency({ inspection: { rttMs } }: NatsFacts): Said {
  const says = `${rttMs < 10 ? rttMs.toFixed(1) : Math.round(rttMs)} ms there and back`;
  if (rttMs <= RTT_MS_MAX) return { check: 'latency', level: 'ok', says };
  return {
    check: 'latency',
    level: 'warning',
    says,
    mend: 'a reservation takes at least four times that: run the replicas near their NATS',
  };
}

function clock({ inspection: { journals } }: NatsFacts): readonly Said[] {
  const aheadMs = journals.kind === 'seen' ? journals.clockAheadMs : undefined;
  if (aheadMs === undefined) return [];
  const check = 'clock';
  const says = `the server's clock is ${Math.abs(aheadMs) < 1 ? 'as' : `${Math.round(Math.abs(aheadMs))} ms ${aheadMs > 0 ? 'ahead of' : 'behind'}`} this machine's`;
  if (Math.abs(aheadMs) <= CLOCK_MS_MAX) return [{ check, level: 'ok', says }];
  return [{ check, level: 'warning', says, mend: 'let NTP set both: nothing decides by it, but ages and logs are off by as much' }];
}

function payload({ inspection: { server } }: NatsFacts): readonly Said[] {
  if (server.payloadBytesMax >= PAYLOAD_MIN) return [];
  const says = `max_payload is ${server.payloadBytesMax} bytes`;
  return [
    {
      check: 'payload',
      level: 'warning',
      says,
      mend: 'leave it at its default of 1MB: snapshots and lists are cut into many parts otherwise',
    },
  ];
}

function encryption({ inspection: { server } }: NatsFacts): readonly Said[] {
  return server.isEncrypted ? [{ check: 'TLS', level: 'ok', says: 'the link is encrypted' }] : [];
}
