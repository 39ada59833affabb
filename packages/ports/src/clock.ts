/** A timer that was set and can be taken back. */
export interface Timer {
  /** Takes the timer back; after this call it does not fire. Harmless when it has fired. */
  cancel(): void;
}

/**
 * Time of this process. Nothing that matters for safety compares the clocks of two machines
 * (DESIGN 4.1, Time).
 */
export interface Clock {
  /** Milliseconds since some fixed point of this process; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since 1970 as this machine believes; for logs and displays only. */
  wallMs(): number;
  /** Calls `fire` once, `delayMs` from now or later. */
  setTimer(delayMs: number, fire: () => void): Timer;
}
