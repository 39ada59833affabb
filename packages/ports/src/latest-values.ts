/** The latest value by key, for people to look at (`nats kv get|watch`). Nothing ever decides from it. */
export interface LatestValues {
  /** @throws MusterError `journal-unavailable` */
  put(key: string, data: Uint8Array): Promise<void>;
  /** Harmless where it is gone. @throws MusterError `journal-unavailable` */
  delete(key: string): Promise<void>;
}
