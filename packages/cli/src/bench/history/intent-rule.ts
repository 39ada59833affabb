/** One decision to start workers for what is missed, summed over the pool's shards. */
export interface Intended {
  readonly pool: string;
  readonly n: number;
  readonly atMs: number;
  readonly start: number;
  /** What the decision was made from, as it was journaled. */
  readonly floor: number;
  readonly waiting: number;
  readonly refused: number;
  /** Warm, spawning, and ordered before. */
  readonly supply: number;
}

/** A request, for as long as it may have been somebody's demand. */
interface Asked {
  readonly pool: string;
  readonly askedMs: number;
  /** Undefined while its answer is out. */
  readonly settledMs: number | undefined;
  readonly isRefused: boolean;
}

/** How old the numbers of a decision may be: a cut repeats every second, and may have been on its way for as long. */
const CUT_AGE_MS = 5_000;
/** How long a refused request is expected to come back: the longest hint, and slack. */
const REFUSED_MS = 40_000;

/** That nothing is started beyond the need (G5): not more than the numbers say, nor numbers beyond what was asked. */
export function beyondNeed(intents: readonly Intended[], requests: readonly Asked[]): readonly string[] {
  const open = new Map<string, readonly Level[]>();
  for (const [pool, all] of Map.groupBy(requests, (one) => one.pool)) open.set(pool, levelsOf(all));
  return intents.flatMap(({ pool, n, atMs, start, floor, waiting, refused, supply }) => {
    const said: string[] = [];
    const need = Math.max(0, floor + waiting + refused - supply);
    if (start > need) said.push(`intent ${n} starts ${start} in ${pool}, its numbers need ${need}`);
    const asked = highest(open.get(pool) ?? [], atMs - CUT_AGE_MS, atMs);
    if (waiting + refused > asked) {
      said.push(`intent ${n} counts ${waiting} waiting and ${refused} refused in ${pool}, where ${asked} requests were open at the most`);
    }
    return said;
  });
}

/** From `fromMs` on so many requests were open. */
interface Level {
  readonly fromMs: number;
  readonly open: number;
}

function levelsOf(requests: readonly Asked[]): readonly Level[] {
  const moments = requests
    .flatMap(({ askedMs, settledMs = Infinity, isRefused }) => [
      { ms: askedMs, change: 1 },
      { ms: settledMs + (isRefused ? REFUSED_MS : 0), change: -1 },
    ])
    .toSorted((one, other) => one.ms - other.ms || other.change - one.change);
  let open = 0;
  return moments.map(({ ms, change }) => {
    open += change;
    return { fromMs: ms, open };
  });
}

function highest(levels: readonly Level[], fromMs: number, toMs: number): number {
  let most = 0;
  for (const [at, level] of levels.entries()) {
    if (level.fromMs > toMs) break;
    const untilMs = levels[at + 1]?.fromMs ?? Infinity;
    if (untilMs >= fromMs) most = Math.max(most, level.open);
  }
  return most;
}
