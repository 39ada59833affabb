// Makes what is published: every package that is not private, compiled, in a folder of its own below `dist` (or the folder
// that is named), with a manifest whose exports are the compiled files. `npm publish` runs there.
//
// Nothing else needs it: in the repository Node runs the sources as they are, which it refuses below node_modules.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const root = join(import.meta.dirname, '..');
const out = resolve(process.argv[2] ?? join(root, 'dist'));

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports: unknown;
  readonly [field: string]: unknown;
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

function compile(into: string): void {
  const tsc = join(createRequire(import.meta.url).resolve('typescript/package.json'), '..', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', into], { stdio: 'inherit' });
}

function publish(folder: string, compiled: string, target: string): void {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  renameSync(compiled, join(target, 'dist'));
  for (const name of ['bin', 'README.md']) {
    if (existsSync(join(folder, name))) cpSync(join(folder, name), join(target, name), { recursive: true });
  }
  cpSync(join(root, 'LICENSE'), join(target, 'LICENSE'));
  const manifest = {
    ...readManifest(folder),
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
    files: ['dist', 'bin'],
    publishConfig: { access: 'public' },
  };
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

mkdirSync(out, { recursive: true });
// In the same folder, so that what was compiled is moved and not copied.
const work = mkdtempSync(join(out, '.build-'));
try {
  compile(work);
  for (const name of readdirSync(join(root, 'packages'))) {
    const folder = join(root, 'packages', name);
    if (!existsSync(join(folder, 'src', 'index.ts')) || readManifest(folder).private === true) continue;
    publish(folder, join(work, name, 'src'), join(out, name));
    process.stdout.write(`${join(out, name)}\n`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
