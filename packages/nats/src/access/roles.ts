// Who may do what on NATS: for each role the subjects that it may publish and subscribe, and no other.
//
//   A1. Answers come to an inbox of one user, which no other user may subscribe.
//   A2. A worker and a host answer only what they were asked: a reply subject is theirs for one message. So none of them can
//       answer for another, although all of them are asked from one inbox.
//   A3. Clients give their commands on subjects of their own; what steers the cluster is not among them.
import { stores, subjects } from '@muster/protocol';

/** Everybody who speaks in a cluster. */
export const ROLES = ['setup', 'replica', 'host', 'simulator', 'worker', 'client', 'observer', 'admin', 'anonymous'] as const;
/** What a user is for; docs/guide/security.md describes each. */
export type Role = (typeof ROLES)[number];

/** Subjects; `answers`: also one answer to each message that it was given. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  readonly answers: boolean;
}

/** How long an answer may take: longer than any activation or stop. */
export const ANSWER_TTL_MS = 15 * 60_000;
/** Every inbox of a user that was made for Muster is below it; NATS's own `_INBOX` is the anonymous user's. */
const INBOXES = '_INBOX_muster';
const ANONYMOUS_INBOX = '_INBOX';
/** The scratch stream of `muster bench reserve`. */
const BENCH = 'muster_bench';

/** Where the answers to a user come. */
export function inboxPrefixOf(user: string, role: Role): string {
  return role === 'anonymous' ? ANONYMOUS_INBOX : `${INBOXES}.${user}`;
}

/** Where the answers to the worker of a slot come, where workers have users of their own. */
export function workerInboxPrefix(slot: string): string {
  return `${INBOXES}.worker.${slot}`;
}

/** `name` is whose they are: of a host its id, where it is known beforehand. */
export function permissionsOf(role: Role, user: string, cluster: string, name?: string): Permissions {
  const inbox = [`${inboxPrefixOf(user, role)}.>`];
  switch (role) {
    case 'setup':
      return setup(cluster, inbox);
    case 'replica':
      return replica(cluster, inbox);
    case 'host':
      return host(name ?? '*', inbox);
    case 'simulator':
      return join(host(name ?? '*', inbox), worker('*', inbox));
    case 'worker':
      return worker('*', inbox);
    case 'client':
      return client(inbox);
    case 'observer':
      return observer(cluster, inbox);
    case 'anonymous':
      return join(client(inbox), observer(cluster, inbox));
    case 'admin':
      return join(client(inbox), observer(cluster, inbox), admin(cluster, inbox));
  }
}

/** A worker's own: `slot` may be a template of NATS, which takes the user's name. */
export function workerPermissions(slot: string): Permissions {
  return worker(slot, [`${workerInboxPrefix(slot)}.>`]);
}

function setup(cluster: string, inbox: readonly string[]): Permissions {
  const streams = [stores.stream(cluster), `KV_${stores.slotsBucket(cluster)}`];
  return {
    publish: [
      '$JS.API.INFO',
      '$JS.API.STREAM.NAMES',
      ...streams.flatMap((stream) => [`$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.CREATE.${stream}`]),
      // The race of the start-up gate.
      subjects.part(cluster, 'probe', '*'),
      `$JS.API.STREAM.PURGE.${stores.stream(cluster)}`,
    ],
    subscribe: inbox,
    answers: false,
  };
}

function replica(cluster: string, inbox: readonly string[]): Permissions {
  const stream = stores.stream(cluster);
  const bucket = stores.slotsBucket(cluster);
  return {
    publish: [
      subjects.journals(cluster),
      subjects.parts(cluster),
      `$KV.${bucket}.>`,
      '$JS.API.INFO',
      '$JS.API.STREAM.NAMES',
      `$JS.API.STREAM.INFO.${stream}`,
      `$JS.API.STREAM.INFO.KV_${bucket}`,
      `$JS.API.STREAM.MSG.GET.${stream}`,
      `$JS.API.STREAM.PURGE.${stream}`,
      `$JS.API.STREAM.PURGE.KV_${bucket}`,
      `$JS.API.CONSUMER.CREATE.${stream}.>`,
      `$JS.API.CONSUMER.DELETE.${stream}.*`,
      ...flowControlOf(stream),
      subjects.shardCommand('*'),
      subjects.replicaBeat('*'),
      subjects.miss('*'),
      subjects.reservationLost('*'),
      subjects.workerCommand('*', '*', '*'),
      subjects.hostDriver('*'),
      subjects.hostForgotten('*'),
      'muster.v1.events.>',
      // Answers, to everybody.
      `${INBOXES}.>`,
      `${ANONYMOUS_INBOX}.>`,
    ],
    subscribe: [
      ...inbox,
      subjects.shardCommand('*'),
      subjects.shardRequest('*'),
      subjects.replicaBeats(),
      subjects.misses(),
      subjects.workerHellos('*'),
      subjects.workerBeats('*'),
      subjects.hostBeats(),
      subjects.hostWorkers(),
      subjects.hostsForgotten(),
      subjects.pools(),
      subjects.reserveAny(),
      subjects.renew(),
      subjects.release(),
      subjects.cancel(),
      subjects.admin(),
      '$SRV.>',
    ],
    answers: false,
  };
}

function host(name: string, inbox: readonly string[]): Permissions {
  return {
    publish: [subjects.hostBeat(name), subjects.hostWorker(name)],
    subscribe: [...inbox, subjects.hostDriver(name)],
    answers: true,
  };
}

function worker(slot: string, inbox: readonly string[]): Permissions {
  return {
    publish: [subjects.workerHello('*', slot), subjects.workerBeat('*', slot)],
    subscribe: [...inbox, subjects.workerCommand('*', slot, '*')],
    answers: true,
  };
}

function client(inbox: readonly string[]): Permissions {
  return {
    publish: [subjects.pools(), subjects.reserveAny(), subjects.renew(), subjects.release(), subjects.cancel(), subjects.shardRequest('*')],
    subscribe: [...inbox, `${subjects.reservation('*')}.>`],
    answers: false,
  };
}

/** Looks on: committed transitions, the service's figures, the latest values of the slots. */
function observer(cluster: string, inbox: readonly string[]): Permissions {
  const stream = `KV_${stores.slotsBucket(cluster)}`;
  return {
    publish: [
      ...['PING', 'INFO', 'STATS'].flatMap((verb) => [`$SRV.${verb}`, `$SRV.${verb}.>`]),
      '$JS.API.INFO',
      `$JS.API.STREAM.INFO.${stream}`,
      `$JS.API.STREAM.MSG.GET.${stream}`,
      `$JS.API.DIRECT.GET.${stream}`,
      `$JS.API.DIRECT.GET.${stream}.>`,
      `$JS.API.CONSUMER.CREATE.${stream}`,
      `$JS.API.CONSUMER.CREATE.${stream}.>`,
      `$JS.API.CONSUMER.INFO.${stream}.*`,
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
      `$JS.API.CONSUMER.DELETE.${stream}.*`,
      ...flowControlOf(stream),
    ],
    subscribe: [...inbox, 'muster.v1.events.>'],
    answers: false,
  };
}

/** On top of a client and an observer: steers the cluster, and measures beside it. */
function admin(cluster: string, inbox: readonly string[]): Permissions {
  return {
    publish: [
      subjects.admin(),
      '$JS.API.STREAM.NAMES',
      `$JS.API.STREAM.INFO.${stores.stream(cluster)}`,
      `${BENCH}.>`,
      ...['STREAM.CREATE', 'STREAM.DELETE', 'CONSUMER.CREATE'].map((verb) => `$JS.API.${verb}.${BENCH}`),
      ...flowControlOf(BENCH),
      // The bench's own workers and owner answer its own clients.
      ...inbox,
    ],
    subscribe: [...inbox, `${BENCH}.>`],
    answers: false,
  };
}

/** Both forms that servers use; the longer one has a domain and an account before the stream. */
function flowControlOf(stream: string): readonly string[] {
  return [`$JS.FC.${stream}.>`, `$JS.FC.*.*.${stream}.>`];
}

function join(...parts: readonly Permissions[]): Permissions {
  const all = (pick: (part: Permissions) => readonly string[]): readonly string[] => [...new Set(parts.flatMap(pick))];
  return {
    publish: all(({ publish }) => publish),
    subscribe: all(({ subscribe }) => subscribe),
    answers: parts.some(({ answers }) => answers),
  };
}
