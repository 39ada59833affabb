import type { HostStatus } from '@muster/ports';
import type { HostBeat } from '@muster/protocol';

export const TICK_MS = 1_000;
/** A host that was not heard of in so many ticks is silent. Executed ticks count, so that a pause of this process is no silence. */
const SILENT_TICKS = 5;
/** Hosts known at once; more than a cluster ever has, so that strangers cannot fill the memory. */
const HOSTS_MAX = 1_000;

export interface KnownHost {
  readonly beat: HostBeat;
  quietTicks: number;
}

/**
 * The hosts that were ever heard of, until they are forgotten: a silent one still counts, since its workers may well be
 * running.
 */
export class HostRoster {
  readonly #hosts = new Map<string, KnownHost>();
  readonly #forgotten = new Set<string>();

  /** @returns false where there are too many hosts already */
  hear(beat: HostBeat): boolean {
    if (!this.#hosts.has(beat.host) && this.#hosts.size >= HOSTS_MAX) return false;
    this.#hosts.set(beat.host, { beat, quietTicks: 0 });
    this.#forgotten.delete(beat.host);
    return true;
  }

  /** One tick has passed. @returns the hosts that fell silent with it */
  tick(): readonly string[] {
    const silent: string[] = [];
    for (const [name, host] of this.#hosts) {
      host.quietTicks += 1;
      if (host.quietTicks === SILENT_TICKS) silent.push(name);
    }
    return silent;
  }

  /** The link was down: nobody could have been heard. */
  listenAnew(): void {
    for (const host of this.#hosts.values()) host.quietTicks = 0;
  }

  isSilent(host: KnownHost): boolean {
    return host.quietTicks >= SILENT_TICKS;
  }

  get all(): readonly KnownHost[] {
    return [...this.#hosts.values()];
  }

  /** Where workers may be started. */
  get live(): readonly KnownHost[] {
    return this.staying.filter((host) => !this.isSilent(host));
  }

  /** All but those that are being stopped in order. */
  get staying(): readonly KnownHost[] {
    return this.all.filter((host) => host.beat.isLeaving !== true);
  }

  isForgotten(host: string): boolean {
    return this.#forgotten.has(host);
  }

  get forgotten(): readonly string[] {
    return [...this.#forgotten];
  }

  forget(name: string): boolean {
    const host = this.#hosts.get(name);
    if (host !== undefined && !this.isSilent(host)) return false;
    this.leave(name);
    return true;
  }

  /** It said itself that nothing runs there any more. */
  leave(name: string): void {
    this.#hosts.delete(name);
    const oldest = this.#forgotten.values().next();
    if (this.#forgotten.size >= HOSTS_MAX && oldest.done !== true) this.#forgotten.delete(oldest.value);
    this.#forgotten.add(name);
  }

  describe(): readonly HostStatus[] {
    return this.all.map((host) => ({
      host: host.beat.host,
      isSilent: this.isSilent(host),
      silentMs: this.isSilent(host) ? host.quietTicks * TICK_MS : 0,
      memoryBudgetBytes: host.beat.memoryBudgetBytes,
      workers: host.beat.workers,
      pid: host.beat.pid,
    }));
  }
}
