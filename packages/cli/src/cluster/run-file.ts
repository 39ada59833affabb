import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isRunning } from './process-identity.ts';

const runFileSchema = z.object({
  v: z.literal(1),
  cluster: z.string(),
  servers: z.array(z.string()).min(1),
  /** Of its administrator: a file of credentials, where its NATS asks for them. */
  credentials: z.string().optional(),
  /** The data folder. */
  folder: z.string(),
  /** The folder goes when the cluster does. */
  isTemporary: z.boolean(),
  /** The `muster up` that runs it. */
  pid: z.number().int(),
  startTime: z.string(),
  startedWallMs: z.number(),
});
/** What a running `muster up` tells other commands of this user on this machine. */
export type RunFile = Readonly<z.infer<typeof runFileSchema>>;

/** Run files of this user. A folder that others could write to is not believed. */
export class RunFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns the path to remove at the end */
  write(run: RunFile): string {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    if (!this.#isOurs()) throw new Error(`${this.#folder} belongs to somebody else, or others may write to it`);
    const path = join(this.#folder, `${run.cluster}-${run.pid}.json`);
    writeFileSync(`${path}.new`, JSON.stringify(run), { mode: 0o600 });
    chmodSync(`${path}.new`, 0o600);
    renameSync(`${path}.new`, path);
    return path;
  }

  /** Those of a `muster up` that runs, newest first. */
  running(): readonly RunFile[] {
    return this.#read()
      .filter(({ run }) => isRunning(run))
      .map(({ run }) => run)
      .sort((one, other) => other.startedWallMs - one.startedWallMs);
  }

  /** Those whose `muster up` was killed. */
  abandoned(): readonly { readonly path: string; readonly run: RunFile }[] {
    return this.#read().filter(({ run }) => !isRunning(run));
  }

  remove(path: string): void {
    rmSync(path, { force: true });
  }

  #read(): readonly { readonly path: string; readonly run: RunFile }[] {
    if (!this.#isOurs()) return [];
    const found: { path: string; run: RunFile }[] = [];
    for (const name of readdirSync(this.#folder).filter((entry) => entry.endsWith('.json'))) {
      const path = join(this.#folder, name);
      const run = tryParse(path);
      if (run !== undefined) found.push({ path, run });
    }
    return found;
  }

  #isOurs(): boolean {
    const status = lstatSync(this.#folder, { throwIfNoEntry: false });
    return status !== undefined && status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o022) === 0;
  }
}

function tryParse(path: string): RunFile | undefined {
  try {
    return runFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined; // being written, removed at this moment, or of another version
  }
}
