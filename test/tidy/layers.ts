// Who may import whom. The layers are `domain ← protocol ← ports ← { runtime | pool | adapters | SDKs } ← services`.
import { posix } from 'node:path';
import {
  type Import,
  importsOf,
  isTest,
  isTypeScript,
  packageOf,
  type Rule,
  type SourceFile,
  type Violation,
  workspaceOf,
} from './source-file.ts';

const INNER = ['domain', 'protocol', 'ports'];

/** Packages of ours that a workspace may import; a service may import any package, and no service. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'packages/domain': [],
  'packages/protocol': ['domain'],
  'packages/ports': ['domain', 'protocol'],
  'packages/runtime': INNER,
  'packages/pool': [...INNER, 'runtime'],
  'packages/nats': INNER,
  'packages/kubernetes': INNER,
  'packages/process': INNER,
  'packages/client': [...INNER, 'nats'],
  'packages/worker': [...INNER, 'nats'],
  'packages/testkit': [...INNER, 'nats'],
  // The command is an application too: `muster bench tenants` reserves as any other does.
  // `muster doctor` looks at a Kubernetes API as the driver sees it.
  'packages/cli': [...INNER, 'nats', 'client', 'kubernetes'],
  'services/control-plane': [...INNER, 'runtime', 'pool', 'nats', 'process', 'kubernetes'],
  'services/host': [...INNER, 'nats', 'process', 'worker'],
  'services/duckdb-worker': [...INNER, 'worker'],
};

/** Vendors and who alone may know them. Tests may know any. */
const ROOMS: readonly { readonly vendor: RegExp; readonly rooms: readonly string[] }[] = [
  { vendor: /^@nats-io\//, rooms: ['packages/nats'] },
  { vendor: /^@kubernetes\//, rooms: ['packages/kubernetes'] },
  { vendor: /^@duckdb\//, rooms: ['services/duckdb-worker'] },
  { vendor: /^xstate(\/|$)/, rooms: ['packages/domain', 'packages/runtime', 'packages/pool'] },
  { vendor: /^pino(-|$)/, rooms: ['services/control-plane', 'services/host', 'services/duckdb-worker'] },
  { vendor: /^prom-client$/, rooms: ['services/control-plane'] },
  { vendor: /^(vitest|fast-check)(\/|$)/, rooms: ['packages/testkit'] },
];

/** Loaded only by who needs them, so that nothing else starts later for them: most of a second each. */
const LATE: readonly string[] = ['@kubernetes/client-node'];

/** Packages without input or output: nothing of Node's but what computes. */
const PURE: Readonly<Record<string, readonly string[]>> = {
  'packages/domain': [],
  'packages/protocol': ['node:crypto'],
  'packages/runtime': ['node:crypto', 'node:zlib', 'node:util'],
  'packages/pool': ['node:crypto'],
};

/** The one file of the replica in which the adapters meet. */
const COMPOSE = 'services/control-plane/src/compose.ts';
const ADAPTERS = new Set(['@muster/nats', '@muster/process', '@muster/kubernetes']);

/** Imports point inwards only. */
export const checkLayers: Rule = (files) => files.filter(({ path }) => isTypeScript(path)).flatMap(checkFile);

function checkFile(file: SourceFile): readonly Violation[] {
  const workspace = workspaceOf(file.path);
  if (workspace === undefined) return [];
  return importsOf(file).flatMap((imported) => {
    const reason = whyNot(file.path, workspace, imported);
    return reason === undefined ? [] : [{ path: file.path, line: imported.line, message: reason }];
  });
}

function whyNot(path: string, workspace: string, { from, isTypeOnly, isDynamic }: Import): string | undefined {
  if (from.startsWith('.')) {
    const target = posix.join(posix.dirname(path), from);
    return workspaceOf(target) === workspace ? undefined : `${from} leaves ${workspace}: import other packages by name`;
  }
  if (from.startsWith('@muster/')) return whyNotOurs(path, workspace, from);
  if (isTest(path)) return undefined;
  const room = ROOMS.find(({ vendor }) => vendor.test(from));
  if (room !== undefined && !room.rooms.includes(workspace)) return `${from} is known to ${room.rooms.join(', ')} alone`;
  if (LATE.includes(from) && !isTypeOnly && !isDynamic) return `${from} takes long to load: import() it where it is wanted`;
  const allowed = PURE[workspace];
  if (allowed !== undefined && from.startsWith('node:') && !allowed.includes(from)) return `${workspace} may not use ${from}`;
  return undefined;
}

function whyNotOurs(path: string, workspace: string, from: string): string | undefined {
  const allowed = MAY_IMPORT[workspace];
  if (allowed === undefined) return `${workspace} is not in the table of layers`;
  const name = from.slice('@muster/'.length);
  // Tests run on real servers, and fixtures are programs of their own that use the package as others do.
  if (isTest(path) && (['testkit', 'nats'].includes(name) || workspace.endsWith(`/${name}`))) return undefined;
  if (name.includes('/')) return `${from}: a package has one door`;
  if (!allowed.includes(name)) return `${workspace} may not import @muster/${name}`;
  if (workspace === 'services/control-plane' && ADAPTERS.has(from) && path !== COMPOSE && !isTest(path)) {
    return `adapters meet in ${COMPOSE} only, not here: ${from}`;
  }
  return undefined;
}

interface Manifest {
  readonly name?: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Every manifest names what its sources import, in exact versions, and of our own packages nothing else. */
export const checkManifests: Rule = (files) =>
  files
    .filter(({ path }) => path === 'package.json' || /^(packages|services)\/[^/]+\/package\.json$/.test(path))
    .flatMap((file) => checkManifest(file, files).map((message) => ({ path: file.path, line: 1, message })));

function checkManifest(file: SourceFile, files: readonly SourceFile[]): readonly string[] {
  const manifest = JSON.parse(file.text) as Manifest;
  const { dependencies = {}, devDependencies = {} } = manifest;
  const loose = Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => !/^\d+\.\d+\.\d+([-+][\w.-]+)?$/.test(version))
    .map(([name, version]) => `${name} is at ${version}: versions are exact`);
  const workspace = workspaceOf(file.path);
  if (workspace === undefined) return loose;
  const imported = new Set(
    files
      .filter(({ path }) => isTypeScript(path) && path.startsWith(`${workspace}/src/`) && !isTest(path))
      .flatMap((source) => importsOf(source).map(({ from }) => packageOf(from)))
      .filter((name) => name !== undefined),
  );
  return [
    ...loose,
    ...(manifest.name === `@muster/${workspace.split('/')[1]}` ? [] : [`is named ${manifest.name}, not after its folder`]),
    ...(manifest.license === 'MIT' ? [] : ['names no license, or another one than MIT']),
    ...[...imported].filter((name) => !(name in dependencies)).map((name) => `its sources import ${name}, which it does not name`),
    ...Object.keys(dependencies)
      .filter((name) => name.startsWith('@muster/') && !imported.has(name))
      .map((name) => `it names ${name}, which its sources do not import`),
  ];
}
