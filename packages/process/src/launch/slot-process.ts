// One process that an agent started, now or in an earlier life.
//
// A child of this agent says itself when it ends, and how; one that was found again is looked at from time to time, and how
// it ended is not known. Nothing is sent to a pid before it is sure that it is still the same process.
import type { ChildProcess } from 'node:child_process';
import { BUDGETS } from '@muster/domain';
import type { Clock } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { type ProcessIdentity, startTimeOf } from './process-probe.ts';
import { LOCKED_EXIT_CODE } from './worker-command.ts';

const POLL_MS = 100;
export const REASON_UNKNOWN = 'ended, how is not known: the agent was restarted meanwhile';

export interface SlotProcessOptions {
  readonly identity: ProcessIdentity;
  /** Absent: found again. */
  readonly child?: ChildProcess;
  readonly clock: Clock;
  readonly isLocked: boolean;
}

export class SlotProcess {
  readonly identity: ProcessIdentity;
  /** Resolves with the reason when it is gone. Never rejects. */
  readonly ended: Promise<string>;
  readonly #clock: Clock;
  readonly #isChild: boolean;
  readonly #end: (reason: string) => void;
  #isEnded = false;
  #stopping: Promise<void> | undefined;

  constructor(options: SlotProcessOptions) {
    this.identity = options.identity;
    this.#clock = options.clock;
    this.#isChild = options.child !== undefined;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.ended = promise;
    this.#end = (reason) => {
      this.#isEnded = true;
      resolve(reason);
    };
    options.child?.once('exit', (code, signal) => this.#end(reasonOf(code, signal, options.isLocked)));
  }

  /** False for a child, which says itself when it ends. */
  get needsLook(): boolean {
    return !this.#isChild && !this.#isEnded;
  }

  /** What was seen of its pid just now. */
  look(startTime: string | undefined): void {
    if (this.needsLook && startTime !== this.identity.startTime) this.#end(REASON_UNKNOWN);
  }

  /**
   * SIGTERM to its group, `graceMs`, SIGKILL; resolves when it is gone. A second call waits for the first.
   * @throws MusterError `driver-unavailable` when even SIGKILL does not end it
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs).finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    await this.#signal('SIGTERM');
    if (!(await this.#endsWithin(graceMs))) {
      await this.#signal('SIGKILL');
      if (!(await this.#endsWithin(BUDGETS.stopHardMs))) {
        throw new MusterError('driver-unavailable', `process ${this.identity.pid} did not end ${BUDGETS.stopHardMs} ms after SIGKILL`);
      }
    }
    // What it started itself goes with it. The group's number is not given away while the group has members.
    sendToGroup(this.identity.pid, 'SIGKILL');
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    if (this.needsLook) this.look(await startTimeOf(this.identity.pid));
    if (!this.#isEnded) sendToGroup(this.identity.pid, signal);
  }

  async #endsWithin(ms: number): Promise<boolean> {
    const { promise: isOver, resolve } = Promise.withResolvers<boolean>();
    const endsMs = this.#clock.monotonicMs() + ms;
    const wait = (): void => {
      const leftMs = endsMs - this.#clock.monotonicMs();
      if (leftMs <= 0) return resolve(false);
      timer = this.#clock.setTimer(this.needsLook ? Math.min(POLL_MS, leftMs) : leftMs, () => {
        if (!this.needsLook) return wait();
        void startTimeOf(this.identity.pid).then((startTime) => {
          this.look(startTime);
          if (!this.#isEnded) wait();
        });
      });
    };
    let timer: { cancel(): void } | undefined;
    wait();
    const hasEnded = await Promise.race([this.ended.then(() => true), isOver]);
    timer?.cancel();
    return hasEnded;
  }
}

function reasonOf(code: number | null, signal: NodeJS.Signals | null, isLocked: boolean): string {
  if (signal !== null) return signal;
  if (isLocked && code === LOCKED_EXIT_CODE) return "another process holds the slot's lock";
  return `exit ${code}`;
}

function sendToGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
