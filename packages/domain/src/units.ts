// Durations and sizes as people write them in a configuration. Units are always written out, so that no number is read as
// seconds by one person and as milliseconds by the next; only 0 needs none.

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};
const SHAPE = /^(\d{1,15}(?:\.\d{1,6})?)\s?([A-Za-z]+)$/;

/**
 * `500ms`, `60s`, `5m`, `1.5h`, `2d` or `0` in milliseconds, rounded to whole ones.
 * @throws RangeError that says what was given and what is understood
 */
export function parseDuration(text: string): number {
  return parseUnits(text, DURATION_MS, 'a duration like 500ms, 60s, 5m, 2h or 1d');
}

/**
 * `256MiB`, `18GiB`, `1.5GB` or `0` in bytes, rounded to whole ones. `MiB` is 1024 KiB, `MB` is 1000 KB.
 * @throws RangeError that says what was given and what is understood
 */
export function parseSize(text: string): number {
  return parseUnits(text, SIZE_BYTES, 'a size like 256MiB, 18GiB or 2GB');
}

function parseUnits(text: string, units: Readonly<Record<string, number>>, wanted: string): number {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  const match = SHAPE.exec(trimmed);
  const unit = match?.[2] === undefined || !Object.hasOwn(units, match[2]) ? undefined : units[match[2]];
  if (match === null || unit === undefined) throw new RangeError(`must be ${wanted}, not ${JSON.stringify(text.slice(0, 40))}`);
  const value = Math.round(Number(match[1]) * unit);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${JSON.stringify(text.slice(0, 40))} is too large`);
  return value;
}

/** Bytes for people: `24.0 GiB`, `256.0 MiB`, `512 B`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const) {
    const size = SIZE_BYTES[unit] ?? 1;
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}
