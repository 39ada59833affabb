import { readFileSync } from 'node:fs';
import { isMusterError, type ParsedConfig, parseClusterConfig } from '@muster/protocol';
import type { Finding } from './finding.ts';

/** A configuration, judged; `parsed` where it is one. */
export interface ExaminedConfiguration {
  readonly findings: readonly Finding[];
  readonly parsed: ParsedConfig | undefined;
}

/** Every problem by itself, with its path. */
export function examineConfiguration(path: string): ExaminedConfiguration {
  const finding = (level: Finding['level'], says: string, mend?: string): Finding => ({
    area: 'configuration',
    check: 'file',
    level,
    says,
    ...(mend === undefined ? {} : { mend }),
  });
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const says = `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return { findings: [finding('problem', says, 'name another with --config')], parsed: undefined };
  }
  try {
    const parsed = parseClusterConfig(text);
    const pools = Object.keys(parsed.config.pools).length;
    const warnings = parsed.warnings.map((warning) =>
      finding('warning', warning, 'docs/reference/configuration.md says what each value means'),
    );
    const empty = pools === 0 ? [finding('warning', `${path} has no pool: nothing can be reserved`, 'add one under pools')] : [];
    return { findings: [finding('ok', `${path}: cluster ${parsed.cluster.name}, ${pools} pools`), ...warnings, ...empty], parsed };
  } catch (error) {
    if (!isMusterError(error)) throw error;
    const mend = 'docs/reference/configuration.md lists every value with its limits';
    return { findings: error.message.split('; ').map((problem) => finding('problem', problem, mend)), parsed: undefined };
  }
}
