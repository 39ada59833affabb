import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type SlotMarker, SlotMarkers } from './slot-markers.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const each of folders.splice(0)) await rm(each, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'muster-markers-'));
  folders.push(path);
  return path;
}

const MARKER: SlotMarker = { slot: 'duckdb-a1', shard: 'duckdb', pool: 'duckdb', claimedWallMs: 5 };

describe('SlotMarkers', () => {
  it('lets a slot be claimed once, also by two at once and by another life of the agent (M1)', async () => {
    const path = await folder();
    const markers = new SlotMarkers(path);
    await markers.load();
    expect((await Promise.all([markers.claim(MARKER), markers.claim(MARKER)])).sort()).toEqual([false, true]);
    expect(await new SlotMarkers(path).claim(MARKER)).toBe(false);
  });

  it('keeps what became of a slot', async () => {
    const path = await folder();
    const markers = new SlotMarkers(path);
    await markers.load();
    await markers.claim(MARKER);
    const exited = { ...MARKER, pid: 7, startTime: '9@b', exited: { reason: 'exit 1', wallMs: 6 } };
    await markers.update(exited);
    expect(await new SlotMarkers(path).load()).toEqual([exited]);
    await markers.remove(MARKER.slot);
    expect(await markers.load()).toEqual([]);
  });

  it('counts a slot as claimed whose file was damaged (M2)', async () => {
    const path = await folder();
    await writeFile(join(path, 'duckdb--2-a1.json'), '{"slot": "duck');
    await writeFile(join(path, 'duckdb--2-a1.json.new'), '');
    const markers = new SlotMarkers(path);
    expect(await markers.load()).toMatchObject([{ slot: 'duckdb--2-a1', shard: 'duckdb--2' }]);
    expect(await markers.claim({ ...MARKER, slot: 'duckdb--2-a1' })).toBe(false);
    expect(await readdir(path)).toEqual(['duckdb--2-a1.json']);
  });
});
