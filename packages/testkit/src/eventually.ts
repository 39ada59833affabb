import { SystemClock } from '@muster/ports';

export interface EventuallyOptions {
  /** Default 30 s: on a busy machine the process that is waited for may stand still for seconds. */
  readonly timeoutMs?: number;
  /** Between two looks. Default 10. */
  readonly everyMs?: number;
}

/**
 * Looks again and again until `probe` neither throws nor gives `false`, and gives what it gave.
 * @throws what the last look threw, with how long it was tried, so that `expect` in the probe reports expected and actual
 */
export async function eventually<T>(probe: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<Exclude<T, false>> {
  const { timeoutMs = 30_000, everyMs = 10 } = options;
  const clock = new SystemClock();
  const giveUpAtMs = clock.monotonicMs() + timeoutMs;
  for (let looks = 1; ; looks++) {
    let failure: unknown;
    try {
      const value = await probe();
      if (value !== false) return value as Exclude<T, false>;
      failure = new Error(`still false: ${String(probe)}`);
    } catch (error) {
      failure = error;
    }
    if (clock.monotonicMs() >= giveUpAtMs) {
      if (failure instanceof Error) failure.message = `after ${timeoutMs} ms and ${looks} looks: ${failure.message}`;
      throw failure;
    }
    await new Promise<void>((resolve) => {
      clock.setTimer(everyMs, resolve);
    });
  }
}
