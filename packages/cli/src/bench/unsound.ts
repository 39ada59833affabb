import { CliError } from '../exit.ts';

/** What a command ends with when its report is out, and something in it was lost, given twice or failed. */
export function unsound(report: { readonly lost: number; readonly givenTwice: number; readonly errors: number }): CliError {
  const { lost, givenTwice, errors } = report;
  return new CliError('unsound', `${lost} lost, ${givenTwice} given twice, ${errors} errors`, { isAnswered: true });
}
