import { formatMs, orDash } from '../../output/format.ts';
import type { Machine } from '../measure/machine.ts';

/** The end report of `muster bench tenants`; docs/reference/performance.md says what each means. */
export interface TenantsReport {
  readonly ok: boolean;
  readonly orgs: number;
  readonly qps: number;
  readonly replicas: number;
  readonly pool: string;
  readonly floor: number;
  readonly isCold: boolean;
  readonly retryMs: number | null;
  /** NATS connections of the tenants: each has its own up to a limit, beyond it they share. */
  readonly connections: number;
  readonly measuredMs: number;
  readonly intents: number;
  readonly slotsStarted: number;
  /** Started after all were served. */
  readonly slotsRefilled: number;
  /** Tenants that found nothing warm. */
  readonly misses: number;
  /** Answers that said no, retries included. */
  readonly missAnswers: number;
  readonly firstMissToIntentMs: number | null;
  readonly firstMissToLastStartMs: number | null;
  /** Until as many workers were warm as there are tenants. */
  readonly firstMissTo30WarmMs: number | null;
  readonly firstMissToAllServedMs: number | null;
  readonly queriesOffered: number;
  readonly queriesCompleted: number;
  readonly queriesSkipped: number;
  readonly queriesBeforeAllServed: number;
  readonly queriesPerSecond: number;
  readonly queryP50Ms: number | null;
  readonly queryP99Ms: number | null;
  readonly errors: number;
  readonly errorSamples: readonly string[];
  readonly lost: number;
  readonly givenTwice: number;
  readonly findings: readonly string[];
  readonly loadAverage: number;
  readonly machine: Machine;
}

/** The report for people. */
export function tenantsText(report: TenantsReport): string {
  const time = (ms: number | null): string => (ms === null ? '-' : formatMs(ms));
  const rows: (readonly [string, string])[] = [
    ['tenants', `${report.orgs} at ${report.qps} queries/s each, ${report.replicas} replicas, floor ${report.floor}${howOf(report)}`],
    ['scale-up', `${report.intents} intents, ${report.slotsStarted} slots started, ${report.slotsRefilled} refilled afterwards`],
    ['misses', `${report.misses} tenants found nothing warm (${report.missAnswers} refusals)`],
    ['first miss to', `intent ${time(report.firstMissToIntentMs)}, last start ${time(report.firstMissToLastStartMs)}`],
    ['', `${report.orgs} warm ${time(report.firstMissTo30WarmMs)}, all served ${time(report.firstMissToAllServedMs)}`],
    ['queries', `${report.queriesPerSecond}/s achieved of ${perSecondOffered(report)}/s offered, for ${formatMs(report.measuredMs)}`],
    ['', `p50 ${time(report.queryP50Ms)}, p99 ${time(report.queryP99Ms)}`],
    ['errors', `${report.errors}${report.errorSamples.length === 0 ? '' : `: ${orDash(report.errorSamples[0])}`}`],
    ['lost', String(report.lost)],
    ['given twice', String(report.givenTwice)],
    ['machine', `${report.machine.cores} cores (${report.machine.cpu}), load average ${report.loadAverage}`],
  ];
  return [...rows.map(([name, text]) => `${name.padEnd(15)}${text}`), ...report.findings.map((finding) => `! ${finding}`)].join('\n');
}

function howOf({ isCold, retryMs }: TenantsReport): string {
  return `${isCold ? ', cold' : ''}${retryMs === null ? '' : `, retrying every ${formatMs(retryMs)}`}`;
}

function perSecondOffered({ queriesOffered, measuredMs }: TenantsReport): number {
  return measuredMs === 0 ? 0 : Math.round((queriesOffered * 1_000) / measuredMs);
}
