// What this host has started, on disk: one file for each slot, written before the start and kept long after the end.
//
// Invariants:
//   M1. A slot is claimed at most once ever: the file is made exclusively and is on the disk before `claim` resolves.
//   M2. A file that a crash has damaged still counts as claimed.
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tryShardOf } from '@muster/protocol';
import { z } from 'zod';

const markerSchema = z.object({
  slot: z.string(),
  shard: z.string(),
  pool: z.string(),
  claimedWallMs: z.number(),
  pid: z.number().int().optional(),
  startTime: z.string().optional(),
  exited: z.object({ reason: z.string(), wallMs: z.number() }).optional(),
});
export type SlotMarker = Readonly<z.infer<typeof markerSchema>>;

const SUFFIX = '.json';

export class SlotMarkers {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Every slot that was ever claimed and not removed. Drops what an interrupted `update` left. */
  async load(): Promise<readonly SlotMarker[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const markers: SlotMarker[] = [];
    for (const name of await readdir(this.#folder)) {
      if (name.endsWith(SUFFIX)) markers.push(await this.#read(name.slice(0, -SUFFIX.length)));
      else await rm(join(this.#folder, name), { force: true, recursive: true });
    }
    return markers;
  }

  /** True when the slot is claimed by this call; false when it was before (M1). */
  async claim(marker: SlotMarker): Promise<boolean> {
    try {
      const file = await open(this.#path(marker.slot), 'wx', 0o600);
      try {
        await file.writeFile(JSON.stringify(marker));
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
      throw error;
    }
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return true;
  }

  /**
   * Adds what became of a claimed slot. Not forced to the disk: what a crash of the machine takes back is only which
   * process it was, and no process survives that either.
   */
  async update(marker: SlotMarker): Promise<void> {
    const path = this.#path(marker.slot);
    await writeFile(`${path}.new`, JSON.stringify(marker), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  /** Forgets a slot: it could be claimed again. */
  async remove(slot: string): Promise<void> {
    await rm(this.#path(slot), { force: true });
  }

  async #read(slot: string): Promise<SlotMarker> {
    try {
      return markerSchema.parse(JSON.parse(await readFile(this.#path(slot), 'utf8')));
    } catch {
      return { slot, shard: tryShardOf(slot) ?? '', pool: '', claimedWallMs: 0 }; // M2
    }
  }

  #path(slot: string): string {
    return join(this.#folder, `${slot}${SUFFIX}`);
  }
}
