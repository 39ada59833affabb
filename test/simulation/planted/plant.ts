import { resolve } from 'node:path';
import { type Edit, PLANTED_BUGS } from './bugs.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** Applies an edit. @throws Error where its text is not there exactly once */
export function applyEdit(text: string, { file, find, replace }: Edit): string {
  const parts = text.split(find);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times, not once: ${find}`);
  return parts.join(replace);
}

/** Gives what changes a file's text as the bug wants it. @throws Error where there is no such bug */
export function plant(name: string): (path: string, text: string) => string {
  const bug = PLANTED_BUGS.find((one) => one.name === name);
  if (bug === undefined) throw new Error(`there is no planted bug '${name}'`);
  const byPath = Map.groupBy(bug.edits, ({ file }) => resolve(ROOT, file));
  return (path, text) => (byPath.get(path) ?? []).reduce((changed, edit) => applyEdit(changed, edit), text);
}
