import { ManualClock } from '@muster/ports';

/** Virtual time that counts its steps; after each one somebody may look, and stop it by throwing. */
export class SimClock extends ManualClock {
  steps = 0;
  afterStep: () => void = () => undefined;

  override async settle(): Promise<void> {
    // Runs when every promise has gone on that waits for nothing but other promises.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    this.steps += 1;
    this.afterStep();
  }
}
