import type { z } from 'zod';

/** One thing that is wrong, or worth saying, with its path: `pools.duckdb.floor`. */
export interface ConfigRemark {
  readonly path: string;
  readonly message: string;
}

type RawIssue = z.core.$ZodRawIssue;

/**
 * What a problem is called where the schema does not say it itself: what is wanted, with its limit, and what was given, as
 * `shown` lets it be seen.
 */
export function wordsOf(issue: RawIssue, shown: (value: unknown) => string = shownOfFile): string | undefined {
  const given = shown(issue.input);
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${KINDS[issue.expected] ?? issue.expected}, not ${given}`;
    case 'invalid_value':
      return oneOf(issue.values, issue.input);
    case 'invalid_union':
      return Array.isArray(issue['options'])
        ? oneOf(issue['options'], (issue.input as Readonly<Record<string, unknown>>)[issue.discriminator ?? ''])
        : undefined;
    case 'too_small':
      return issue.origin === 'number'
        ? `must be ${issue.minimum} or more, not ${given}`
        : `must have ${issue.minimum} or more ${unitOf(issue.origin)}`;
    case 'too_big':
      return issue.origin === 'number'
        ? `must be ${issue.maximum} or less, not ${given}`
        : `may have at most ${issue.maximum} ${unitOf(issue.origin)}`;
    default:
      return undefined;
  }
}

const KINDS: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

function oneOf(values: readonly unknown[], given: unknown): string {
  if (given === undefined) return 'is missing';
  const wanted = values
    .map(String)
    .join(', ')
    .replace(/, ([^,]*)$/, ' or $1');
  return `must be ${wanted}, not ${shownOfFile(given)}`;
}

function unitOf(origin: string): string {
  return origin === 'string' ? 'characters' : 'entries';
}

/** What kind of value it is, and of numbers which one: of texts nothing, which may be secret. */
export function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'a text';
  return shownOfFile(value);
}

/** A value of somebody's file, in few characters. */
function shownOfFile(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  return String(typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : value);
}

/** Every problem by itself: one for each unknown key, and why a name is not one. */
export function remarksOf(issues: readonly z.core.$ZodIssue[]): readonly ConfigRemark[] {
  return issues.flatMap((issue): ConfigRemark[] => {
    const path = issue.path.map(String);
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'is not a known key' }));
      case 'invalid_key':
        return issue.issues.map(({ message }) => ({ path: path.join('.'), message: `as a name ${message}` }));
      default:
        return [{ path: path.join('.'), message: issue.message }];
    }
  });
}
