const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A resource quantity (`500m`, `1Gi`, `2`) as a number; undefined where it is none. */
export function tryQuantity(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(|[numkMGTPE]|[KMGTPE]i)$/.exec(value);
  if (match === null) return undefined;
  return Number(match[1]) * (SUFFIXES[match[2] ?? ''] ?? Number.NaN);
}

/** A sum, as a quota shows it: in whole units or thousandths, or in the largest power of 1024 that divides it. */
export function formatQuantity(value: number): string {
  if (value !== 0 && Number.isInteger(value)) {
    for (const suffix of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
      if (value % (SUFFIXES[suffix] as number) === 0) return `${value / (SUFFIXES[suffix] as number)}${suffix}`;
    }
  }
  return Number.isInteger(value) ? String(value) : `${Math.ceil(value * 1000)}m`;
}
