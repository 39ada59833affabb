import { posix } from 'node:path';
import {
  codeOf,
  find,
  importsOf,
  isTest,
  isTypeScript,
  lineAt,
  type Rule,
  type SourceFile,
  type Violation,
  workspaceOf,
} from './source-file.ts';

const LINES_MAX = 500;

/** A file is one thing, short enough to be read in one go. */
export const checkSize: Rule = (files) =>
  files
    .filter(({ path }) => isTypeScript(path))
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > LINES_MAX)
    .map(({ path, lines }) => ({ path, line: LINES_MAX + 1, message: `has ${lines} lines, at most ${LINES_MAX} are allowed` }));

const isPort = (path: string) => /^packages\/ports\/src\/(memory|node)\//.test(path);
const isConfig = (path: string) => posix.basename(path) === 'config.ts';
const isCli = (path: string) => path.startsWith('packages/cli/') || path.startsWith('scripts/');

/** What may be called in its own room only; tests are free. */
const BANNED: readonly { readonly pattern: RegExp; readonly isRoom: (path: string) => boolean; readonly instead: string }[] = [
  { pattern: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b/g, isRoom: isPort, instead: 'the Clock is injected' },
  { pattern: /(?<!(?<!\bglobalThis)\.)\b(setTimeout|setInterval)\b/g, isRoom: isPort, instead: 'the Clock is injected' },
  { pattern: /\bMath\.random\b|\brandomUUID\b/g, isRoom: isPort, instead: 'Random is injected' },
  {
    pattern: /\bprocess\.env\b/g,
    isRoom: (path) => isConfig(path) || path.startsWith('packages/testkit/'),
    instead: 'the environment is read in config.ts',
  },
  { pattern: /\bconsole\b/g, isRoom: isCli, instead: 'the Logger is injected' },
  { pattern: /\b(Promise|async|await)\b/g, isRoom: (path) => !path.startsWith('packages/domain/'), instead: 'the domain decides at once' },
];

/** Time, chance, the environment and the console each have a room. */
export const checkBanned: Rule = (files) =>
  files
    .filter(({ path }) => isTypeScript(path) && !isTest(path))
    .flatMap((file) =>
      BANNED.filter(({ isRoom }) => !isRoom(file.path)).flatMap(({ pattern, instead }) =>
        find(file, pattern, (match) => `${match} is banned here: ${instead}`, 'code'),
      ),
    );

// Written in parts, here and below, so that a rule does not find itself.
const LATER = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`, 'g');

/** Nothing is left for later, and no test is left out. */
export const checkLeftovers: Rule = (files) =>
  files.flatMap((file) => [
    ...find(file, LATER, (match) => `${match}: do it, or say it in an issue`, 'everywhere'),
    ...(isTypeScript(file.path)
      ? find(
          file,
          /\b(?:test|it|describe|suite|bench)(?:\.\w+)*\.(?:only|skip|todo|fails)\b/g,
          (match) => `${match} leaves tests out`,
          'code',
        )
      : []),
  ]);

const PLACES = new RegExp(['(?<![\\w.])/(?:work|root|home|Users)/[\\w.-]+', '/var/tmp/[\\w.-]+', '\\b[A-Z]:\\\\Users'].join('|'), 'g');

/** Nothing of the machine or the network in which it was made. */
export const checkPlaces: Rule = (files) =>
  files.flatMap((file) => [
    ...find(file, PLACES, (match) => `${match} is a place of one machine`, 'everywhere'),
    ...(posix.basename(file.path) === 'package-lock.json' ? checkRegistry(file) : []),
    ...(posix.basename(file.path) === '.npmrc'
      ? find(file, /registry\s*=.*/g, (match) => `${match}: the registry is the user's`, 'everywhere')
      : []),
  ]);

function checkRegistry(file: SourceFile): readonly Violation[] {
  return find(
    file,
    /"resolved": "(?!(packages|services)\/)[^"]*"/g,
    (match) => `${match} names a registry, which is the user's`,
    'everywhere',
  );
}

/** Whatever of an `index.ts` can be called or used says what it promises. Types are left out: their fields say it. */
export const checkDocumented: Rule = (files) => {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return files
    .filter(({ path }) => workspaceOf(path) !== undefined && path.endsWith('/src/index.ts'))
    .flatMap((index) => undocumented(index, undefined, byPath));
};

const DECLARATION = /^export (?:declare )?(?:async )?(?:abstract )?(function\*?|class|const) (\w+)/gm;

/** The declarations in a file, and in what it passes on, that have no doc comment right before them. */
function undocumented(
  file: SourceFile,
  names: ReadonlySet<string> | undefined,
  byPath: ReadonlyMap<string, SourceFile>,
): readonly Violation[] {
  const own = [...file.text.matchAll(DECLARATION)]
    .filter(([, , name = '']) => names === undefined || names.has(name))
    .filter((match, at, all) => !isDocumented(file.text, match.index) && all.findIndex((one) => one[2] === match[2]) === at)
    .map((match) => ({ path: file.path, line: lineAt(file.text, match.index), message: `${match[2]} is exported without a doc comment` }));
  return [...own, ...reexports(file).flatMap((reexport) => passedOn(file, reexport, names, byPath))];
}

interface Reexport {
  readonly from: string;
  /** Undefined: all. */
  readonly names: ReadonlySet<string> | undefined;
}

const REEXPORT = /^export (?:type )?(?:\*|\{([^}]*)\}) from '(\.[^']+)'/gm;

function reexports({ text }: SourceFile): readonly Reexport[] {
  return [...text.matchAll(REEXPORT)].map(([, list, from = '']) => ({
    from,
    names:
      list === undefined
        ? undefined
        : new Set(
            list.split(',').map((one) =>
              one
                .trim()
                .replace(/^type /, '')
                .replace(/ as .*/, ''),
            ),
          ),
  }));
}

function passedOn(
  file: SourceFile,
  reexport: Reexport,
  names: ReadonlySet<string> | undefined,
  byPath: ReadonlyMap<string, SourceFile>,
): readonly Violation[] {
  const target = byPath.get(posix.join(posix.dirname(file.path), reexport.from));
  if (target === undefined) return [];
  return undocumented(target, reexport.names ?? names, byPath);
}

function isDocumented(text: string, index: number): boolean {
  return /\*\/\s*$/.test(text.slice(0, index));
}

/** Node runs the sources as they are: what it would not find or understand. */
export const checkRunnable: Rule = (files) =>
  files
    .filter(({ path }) => isTypeScript(path))
    .flatMap((file) => [
      ...importsOf(file)
        .filter(({ from }) => from.startsWith('.') && !/\.(ts|js|json)$/.test(from))
        .map(({ from, line }) => ({ path: file.path, line, message: `${from} has no extension` })),
      ...find(
        { ...file, text: codeOf(file.text) },
        /^\s*(?:export )?(?:const )?(?:enum|namespace) \w+/gm,
        (match) => `${match.trim()}: types that can be erased only`,
        'code',
      ),
    ]);
