import { formatMs, formatTable } from '../../output/format.ts';
import { type HistogramData, LatencyHistogram } from '../measure/latency-histogram.ts';
import type { Machine } from '../measure/machine.ts';
import { medianOf, perSecond, roundTo } from '../measure/numbers.ts';
import type { LoadResult, TargetName } from './load-messages.ts';

/** One side in one round, all load processes together. */
export interface RoundFigures {
  readonly target: TargetName;
  readonly round: number;
  /** Reservations with activation and release; of a burst null. */
  readonly perSecond: number | null;
  /** From asking (or from when it was due) until the release was answered; of a burst until the reservation was. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly reserveP50Ms: number | null;
  readonly reserveP99Ms: number | null;
  readonly releaseP50Ms: number | null;
  readonly lateP50Ms: number | null;
  /** Of a burst: until the last one was answered. */
  readonly allAnsweredMs: number | null;
  readonly offered: number;
  readonly misses: number;
  readonly errors: number;
  readonly loadAverage: number;
}

/** Medians over the rounds of one side; counts are sums. */
export type SideFigures = Omit<RoundFigures, 'target' | 'round' | 'loadAverage'>;

/** The end report of `muster bench reserve`; docs/reference/performance.md says what each means. */
export interface ReserveReport {
  readonly ok: boolean;
  readonly mode: 'closed' | 'open' | 'burst';
  readonly clients: number;
  readonly offeredPerSecond: number | null;
  readonly processes: number;
  readonly replicas: number;
  readonly pool: string;
  readonly recycle: string;
  readonly durationMs: number;
  readonly reservationsPerSecond: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly reserveP50Ms: number | null;
  readonly reserveP99Ms: number | null;
  readonly releaseP50Ms: number | null;
  readonly allAnsweredMs: number | null;
  readonly sentLateP50Ms: number | null;
  readonly skeletonPerSecond: number | null;
  readonly skeletonP50Ms: number | null;
  readonly skeletonP99Ms: number | null;
  readonly skeletonReserveP50Ms: number | null;
  readonly skeletonAllAnsweredMs: number | null;
  readonly misses: number;
  readonly errors: number;
  readonly errorSamples: readonly string[];
  readonly lost: number;
  readonly givenTwice: number;
  readonly findings: readonly string[];
  readonly rounds: readonly RoundFigures[];
  readonly loadAverageBefore: number;
  readonly machine: Machine;
  readonly takenAt: string;
}

/** Puts together what the load processes measured in one round of `roundMs`. */
export function roundFigures(
  target: TargetName,
  round: number,
  roundMs: number,
  results: readonly LoadResult[],
  loadAverage: number,
): RoundFigures {
  const sum = (count: (result: LoadResult) => number): number => results.reduce((total, result) => total + count(result), 0);
  const merged = (part: (result: LoadResult) => HistogramData): LatencyHistogram => {
    const histogram = new LatencyHistogram();
    for (const result of results) histogram.add(part(result));
    return histogram;
  };
  const allAnsweredMs = Math.max(...results.map((result) => result.allAnsweredMs));
  const isBurst = allAnsweredMs > 0;
  const reserve = merged((result) => result.reserve);
  const whole = isBurst ? reserve : merged((result) => result.cycle);
  return {
    target,
    round,
    perSecond: isBurst
      ? null
      : roundTo(
          perSecond(
            sum((result) => result.cycles),
            roundMs,
          ),
          1,
        ),
    p50Ms: whole.percentileMs(0.5),
    p99Ms: whole.percentileMs(0.99),
    reserveP50Ms: reserve.percentileMs(0.5),
    reserveP99Ms: reserve.percentileMs(0.99),
    releaseP50Ms: merged((result) => result.release).percentileMs(0.5),
    lateP50Ms: merged((result) => result.late).percentileMs(0.5),
    allAnsweredMs: isBurst ? roundTo(allAnsweredMs, 1) : null,
    offered: sum((result) => result.offered),
    misses: sum((result) => result.misses),
    errors: sum((result) => result.errors),
    loadAverage,
  };
}

/** The medians of one side's rounds; all null where it had none. */
export function sideFigures(rounds: readonly RoundFigures[], target: TargetName): SideFigures {
  const own = rounds.filter((round) => round.target === target);
  const median = (figure: (round: RoundFigures) => number | null): number | null => roundTo(medianOf(own.map(figure)), 3);
  const sum = (count: (round: RoundFigures) => number): number => own.reduce((total, round) => total + count(round), 0);
  return {
    perSecond: median((round) => round.perSecond),
    p50Ms: median((round) => round.p50Ms),
    p99Ms: median((round) => round.p99Ms),
    reserveP50Ms: median((round) => round.reserveP50Ms),
    reserveP99Ms: median((round) => round.reserveP99Ms),
    releaseP50Ms: median((round) => round.releaseP50Ms),
    lateP50Ms: median((round) => round.lateP50Ms),
    allAnsweredMs: median((round) => round.allAnsweredMs),
    offered: sum((round) => round.offered),
    misses: sum((round) => round.misses),
    errors: sum((round) => round.errors),
  };
}

/** The report for people. */
export function reserveText(report: ReserveReport): string {
  const time = (ms: number | null): string => (ms === null ? '-' : formatMs(ms));
  const rate = (figure: number | null): string => (figure === null ? '-' : `${figure}`);
  const heading = ['', 'RESERVATIONS/S', 'P50', 'P99', 'RESERVE P50', 'ALL ANSWERED'];
  const rows = [
    [
      'muster',
      rate(report.reservationsPerSecond),
      time(report.p50Ms),
      time(report.p99Ms),
      time(report.reserveP50Ms),
      time(report.allAnsweredMs),
    ],
    [
      'skeleton',
      rate(report.skeletonPerSecond),
      time(report.skeletonP50Ms),
      time(report.skeletonP99Ms),
      time(report.skeletonReserveP50Ms),
      time(report.skeletonAllAnsweredMs),
    ],
  ];
  const { mode, clients, offeredPerSecond, recycle, replicas, misses, errors, errorSamples, lost, givenTwice, findings, machine } = report;
  const offered = offeredPerSecond === null ? '' : `, ${offeredPerSecond}/s offered`;
  return [
    `${mode} loop, ${clients} clients${offered}, recycle ${recycle}, ${replicas} replicas, ${report.rounds.length} rounds`,
    formatTable(heading, rows),
    `${misses} misses, ${errors} errors, ${lost} lost, ${givenTwice} given twice`,
    `${machine.cores} cores (${machine.cpu}), load average before ${report.loadAverageBefore}`,
    ...[...errorSamples, ...findings].map((finding) => `! ${finding}`),
  ].join('\n');
}
