// Which org's database this worker has open: none, or one.
//
// Invariants:
//   T1. One thing after the other: a database is opened only when the one before is closed, whatever the callers do.
//   T2. The file is open only while a reservation holds it: a parked worker keeps no lock that another one could want.
import type { Clock } from '@muster/ports';
import { Database, type DatabaseLimits } from './database.ts';
import { locateDatabase } from './database-file.ts';

export interface TenancyOptions {
  /** Where the databases lie, a folder for each org. */
  readonly dataFolder: string;
  readonly limits: DatabaseLimits;
  readonly clock: Clock;
}

export class Tenancy {
  readonly #options: TenancyOptions;
  #database: Database | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #isDraining = false;

  constructor(options: TenancyOptions) {
    this.#options = options;
  }

  /** The database that is open; undefined while neutral or parked. */
  get database(): Database | undefined {
    return this.#database;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /**
   * Opens the org's database, after closing what was open.
   * @throws DatabaseRefused
   */
  open(org: string, database: string): Promise<void> {
    return this.#afterAll(async () => {
      await this.#close('ended');
      const file = await locateDatabase(this.#options.dataFolder, org, database);
      this.#database = await Database.open(file, this.#options.limits, this.#options.clock);
    });
  }

  /** Ends what runs and closes the database: nothing of it stays in this process. */
  close(): Promise<void> {
    return this.#afterAll(() => this.#close('ended'));
  }

  /** Takes no more queries, lets those that run finish, interrupts them after `graceMs`, and closes. */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true;
    await this.#afterAll(async () => {
      const database = this.#database;
      if (database === undefined) return;
      const { promise: deadline, resolve } = Promise.withResolvers<void>();
      const timer = this.#options.clock.setTimer(graceMs, resolve);
      await Promise.race([database.idle(), deadline]);
      timer.cancel();
      await this.#close('drained');
    });
  }

  async #close(reason: 'ended' | 'drained'): Promise<void> {
    const database = this.#database;
    this.#database = undefined;
    await database?.close(reason);
  }

  #afterAll(step: () => Promise<void>): Promise<void> {
    const run = this.#last.then(step, step);
    this.#last = run.catch(() => undefined);
    return run;
  }
}
