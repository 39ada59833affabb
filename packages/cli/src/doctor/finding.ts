/** What `muster doctor` says of one thing that it looked at. */
export interface Finding {
  readonly area: 'configuration' | 'nats' | 'cluster' | 'kubernetes';
  /** What was looked at, in one word: `version`, `permissions`. */
  readonly check: string;
  /** `problem`: Muster cannot run so; `warning`: it can, and something is not as it should be; `unknown`: it could not be seen. */
  readonly level: 'ok' | 'warning' | 'problem' | 'unknown';
  readonly says: string;
  /** What to do about it. */
  readonly mend?: string;
}

const MARKS = { ok: 'ok', warning: 'warning', problem: 'PROBLEM', unknown: 'unknown' } as const;

/** A line each, and what to do below it. */
export function findingsText(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ area, check, level, says, mend }) => [
    `${MARKS[level].padEnd(8)} ${`${area} ${check}`.padEnd(26)} ${says}`,
    ...(mend === undefined ? [] : [`${' '.repeat(36)}→ ${mend}`]),
  ]);
  const count = (level: Finding['level']): number => findings.filter((one) => one.level === level).length;
  return [...lines, `${count('problem')} problems, ${count('warning')} warnings`].join('\n');
}
