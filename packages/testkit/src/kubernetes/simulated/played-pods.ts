// Pods that only seem to run: their story is told by timers.
import type { Clock, Timer } from '@muster/ports';
import type { KubernetesObject } from '../object.ts';
import type { PodChange, PodRuntime, RunningPod } from './pod-runtime.ts';

/** How a pod fares. Times are from when its node takes it. */
export interface PodStory {
  /** Until its containers run. Default 100. */
  readonly startMs?: number;
  /** From then until they are ready. Default 0; `never`. */
  readonly readyMs?: number | 'never';
  /** They cannot be started at all: the reason that is shown after `startMs`. */
  readonly waiting?: { readonly reason: string; readonly message: string };
  /** What ends it, so long after it runs. */
  readonly end?: { readonly afterMs: number; readonly change: PodChange };
  /** From the asking until it has ended. Default 0. */
  readonly stopMs?: number;
}

/** Stories that happen in clusters. */
export const podStories = {
  /** Its image is not there. */
  imagePullBackOff: (image = 'registry.example/worker:1'): PodStory => ({
    waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}"` },
  }),
  crash: (afterMs: number, exitCode = 1): PodStory => ({ end: { afterMs, change: { kind: 'ended', exitCode, reason: 'Error' } } }),
  oom: (afterMs: number): PodStory => ({ end: { afterMs, change: { kind: 'ended', exitCode: 137, reason: 'OOMKilled' } } }),
  evicted: (afterMs: number): PodStory => ({
    end: { afterMs, change: { kind: 'evicted', message: 'The node was low on resource: memory.' } },
  }),
  neverReady: (): PodStory => ({ readyMs: 'never' }),
} as const;

const START_MS = 100;

/** Pods without processes. */
export class PlayedPods implements PodRuntime {
  readonly #clock: Clock;
  readonly #storyOf: (pod: KubernetesObject) => PodStory;
  #addresses = 0;

  constructor(clock: Clock, storyOf: (pod: KubernetesObject) => PodStory) {
    this.#clock = clock;
    this.#storyOf = storyOf;
  }

  start(pod: KubernetesObject, tell: (change: PodChange) => void): RunningPod {
    const story = this.#storyOf(pod);
    const timers = new Set<Timer>();
    let isOver = false;
    const say = (change: PodChange): void => {
      if (isOver) return;
      if (change.kind === 'ended' || change.kind === 'evicted') isOver = true;
      tell(change);
    };
    const after = (delayMs: number, fire: () => void): void => void timers.add(this.#clock.setTimer(delayMs, fire));
    const { startMs = START_MS, readyMs = 0, waiting, end, stopMs = 0 } = story;
    after(startMs, () => {
      if (waiting !== undefined) {
        say({ kind: 'waiting', ...waiting });
        return;
      }
      say({ kind: 'running', podIp: this.#nextAddress() });
      if (readyMs !== 'never') after(readyMs, () => say({ kind: 'ready' }));
      if (end !== undefined) after(end.afterMs, () => say(end.change));
    });
    return {
      befall: say,
      stop: async (graceMs) => {
        isOver = true;
        for (const timer of timers) timer.cancel();
        const waitMs = Math.min(stopMs, graceMs);
        if (waitMs > 0) await new Promise<void>((resolve) => void this.#clock.setTimer(waitMs, resolve));
        return stopMs <= graceMs ? { exitCode: 0, reason: 'Completed' } : { exitCode: 137, reason: 'Error' };
      },
    };
  }

  async close(): Promise<void> {}

  #nextAddress(): string {
    this.#addresses += 1;
    return `10.244.${(this.#addresses >> 8) & 255}.${this.#addresses & 255}`;
  }
}
