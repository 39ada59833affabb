/**
 * What a record that is keyed by names from outside holds under `key`, and never what every object inherits: an org may be
 * called `constructor`.
 */
export function ownOf<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}
