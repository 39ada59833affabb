export {
  ACCESS_KINDS,
  type AccessBook,
  type AccessKind,
  newAccessBook,
  parseAccessBook,
  type UserWanted,
  userNameOf,
  withRetired,
  withRotated,
  withUsers,
} from './access/access-book.ts';
export { type AccessFiles, makeAccessFiles } from './access/access-files.ts';
export { inboxPrefixOf, ROLES, type Role } from './access/roles.ts';
export { openWorkerCredentials } from './access/worker-credentials.ts';
export { type ClusterStore, type ClusterStoreOptions } from './cluster-store.ts';
export { connectNats, type NatsConnected, type NatsOptions } from './connect-nats.ts';
export type { InspectOptions, NatsInspection, NotSeen } from './inspect.ts';
export { isAtLeast } from './server-version.ts';
