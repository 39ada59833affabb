// The repository as data: every rule is a function of these, so that a violation can be planted in a test.

/** One text file; `path` from the repository's root, with `/`. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export interface Violation {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export type Rule = (files: readonly SourceFile[]) => readonly Violation[];

/** `packages/pool` of `packages/pool/src/index.ts`; undefined outside the workspaces. */
export function workspaceOf(path: string): string | undefined {
  return /^(?:packages|services)\/[^/]+/.exec(path)?.[0];
}

export function isTypeScript(path: string): boolean {
  return path.endsWith('.ts');
}

/** Tests, and what only they use: files in a folder `test`. */
export function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.split('/').includes('test');
}

export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** Violations where the pattern (global) matches; in the code only, or (`everywhere`) also in comments and strings. */
export function find(file: SourceFile, pattern: RegExp, message: (match: string) => string, where: 'code' | 'everywhere'): Violation[] {
  const text = where === 'code' ? codeOf(file.text) : file.text;
  return [...text.matchAll(pattern)].map((match) => ({
    path: file.path,
    line: lineAt(text, match.index),
    message: message(match[0]),
  }));
}

const BLANK = /[^\n]/g;
/** A comment, a string, a template without what is inside its `${}`, or a regular expression where one may begin. */
const OPAQUE =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\[\s\S]|[^'\\\n])*'|"(?:\\[\s\S]|[^"\\\n])*"|(?<=[(,=:[!&|?{};\n]\s*|\breturn\s+)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[dgimsuvy]*|`/g;

/** The text with comments, strings and regular expressions blanked out, every character else where it was. */
export function codeOf(text: string): string {
  let code = '';
  let at = 0;
  const pattern = new RegExp(OPAQUE);
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    code += text.slice(at, match.index);
    if (match[0] === '`') {
      const template = templateAt(text, match.index);
      code += template.code;
      at = template.end;
    } else {
      code += match[0].replace(BLANK, ' ');
      at = match.index + match[0].length;
    }
    pattern.lastIndex = at;
  }
  return code + text.slice(at);
}

/** A template literal from its first backtick on: the text in it blanked, what is in `${}` as code. */
function templateAt(text: string, start: number): { readonly code: string; readonly end: number } {
  let code = ' ';
  let at = start + 1;
  while (at < text.length && text[at] !== '`') {
    if (text.startsWith('${', at)) {
      const end = closingBrace(text, at + 2);
      code += `  ${codeOf(text.slice(at + 2, end))} `;
      at = end + 1;
    } else {
      const length = text[at] === '\\' ? 2 : 1;
      code += text.slice(at, at + length).replace(BLANK, ' ');
      at += length;
    }
  }
  return { code: `${code} `, end: Math.min(at + 1, text.length) };
}

function closingBrace(text: string, start: number): number {
  let depth = 1;
  for (let at = start; at < text.length; at++) {
    const character = text[at];
    if (character === '`') at = templateAt(text, at).end - 1;
    else if (character === "'" || character === '"') at = text.indexOf(character, at + 1);
    else if (character === '{') depth += 1;
    else if (character === '}' && --depth === 0) return at;
    if (at < 0) break;
  }
  return text.length;
}

export interface Import {
  /** As written: `@muster/ports`, `./shard.ts`, `node:fs/promises`. */
  readonly from: string;
  readonly line: number;
  readonly isTypeOnly: boolean;
  /** `import()`: loaded when it is wanted. */
  readonly isDynamic: boolean;
}

const IMPORT = /^[ \t]*(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)'|^[ \t]*import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

/** What the file imports, statically or not, types too. */
export function importsOf({ text }: SourceFile): readonly Import[] {
  return [...text.matchAll(IMPORT)].map((match) => ({
    from: match[2] ?? match[3] ?? match[4] ?? '',
    line: lineAt(text, match.index),
    isTypeOnly: match[1] !== undefined,
    isDynamic: match[4] !== undefined,
  }));
}

/** The package of an import: `@nats-io/kv` of `@nats-io/kv/internal`; undefined for a file and for Node's own. */
export function packageOf(from: string): string | undefined {
  if (from.startsWith('.') || from.startsWith('/') || from.startsWith('node:')) return undefined;
  return from.split('/', from.startsWith('@') ? 2 : 1).join('/');
}
