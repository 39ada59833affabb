export { type ClusterStore, type ClusterStoreOptions } from './cluster-store.ts';
export { connectNats, type NatsConnected, type NatsCredentials, type NatsOptions } from './connect-nats.ts';
