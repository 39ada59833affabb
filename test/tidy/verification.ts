// The page of verification names tests: each must be there, by its file and its title.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
/** `` `file` › title ``, or a scenario's file alone. */
const NAMED = /^`([^`]+)`(?: › (.+))?$/;

export interface HeldRow {
  /** What is promised, or went wrong elsewhere. */
  readonly what: string;
  readonly tests: readonly { readonly file: string; readonly title: string | undefined }[];
}

/** The rows of the page's tables whose second column is `held by`. */
export function readHeldRows(page: string): readonly HeldRow[] {
  const rows: HeldRow[] = [];
  let isHeldTable = false;
  for (const line of page.split('\n')) {
    if (!line.startsWith('|')) {
      isHeldTable = false;
      continue;
    }
    const [, what = '', held = ''] = line.split('|').map((cell) => cell.trim());
    if (held === 'held by') isHeldTable = true;
    else if (isHeldTable && !held.startsWith('---')) rows.push({ what, tests: held.split('<br>').map(readNamed) });
  }
  return rows;
}

function readNamed(text: string): HeldRow['tests'][number] {
  const [, file, title] = NAMED.exec(text.trim()) ?? [];
  if (file === undefined) throw new Error(`'${text}' names no test: \`file\` › title`);
  return { file, title };
}

/** What is wrong with a named test; undefined: it is there. */
export function whatIsMissing({ file, title }: HeldRow['tests'][number]): string | undefined {
  if (!existsSync(join(ROOT, file))) return `there is no ${file}`;
  if (file.endsWith('.txt')) return title === undefined ? undefined : `${file} is one scenario`;
  if (!file.endsWith('.test.ts')) return `${file} is no test`;
  if (title === undefined) return `${file}: which test?`;
  const text = readFileSync(join(ROOT, file), 'utf8');
  const quoted = [`'${title}'`, `"${title}"`, `\`${title}\``];
  const isThere = quoted.some((quote) => text.includes(`(${quote}`) || text.includes(`(\n  ${quote}`));
  return isThere ? undefined : `${file} has no test '${title}'`;
}
