// What is published works where it is installed: built, packed, installed by npm in a folder elsewhere, imported,
// type-checked and run.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tempDir } from '@muster/testkit';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');

/** A package's own packages, itself last, as the manifests of the built folders say. */
async function closureOf(built: string, name: string, found = new Set<string>()): Promise<Set<string>> {
  const manifest = JSON.parse(await readFile(join(built, name, 'package.json'), 'utf8')) as { dependencies?: Record<string, string> };
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    if (dependency.startsWith('@muster/')) await closureOf(built, dependency.slice('@muster/'.length), found);
  }
  return found.add(name);
}

test('the built packages can be packed, installed, imported and run', { timeout: 300_000 }, async () => {
  await using built = await tempDir();
  await using folder = await tempDir();
  await run(process.execPath, [join(ROOT, 'scripts', 'build.ts'), built.path]);

  const names = new Set([...(await closureOf(built.path, 'client')), ...(await closureOf(built.path, 'cli'))]);
  const tarballs: string[] = [];
  for (const name of names) {
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder.path], { cwd: join(built.path, name) });
    const packed = Object.values(JSON.parse(stdout) as Record<string, { filename: string; files: { path: string }[] }>)[0];
    expect(packed?.files.map(({ path }) => path)).toEqual(expect.arrayContaining(['LICENSE', 'package.json', 'dist/index.js']));
    expect(packed?.files.filter(({ path }) => /\.test\.|(?<!\.d)\.ts$/.test(path))).toEqual([]);
    tarballs.push(join(folder.path, packed?.filename ?? ''));
  }

  await writeFile(join(folder.path, 'package.json'), JSON.stringify({ name: 'application', private: true, type: 'module' }));
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=5', ...tarballs], { cwd: folder.path });

  const { stdout: exported } = await run(
    process.execPath,
    ['--input-type=module', '-e', "console.log(Object.keys(await import('@muster/client')).join(' '))"],
    { cwd: folder.path },
  );
  expect(exported.split(/\s/)).toContain('connect');

  const { version } = JSON.parse(await readFile(join(ROOT, 'packages', 'cli', 'package.json'), 'utf8')) as { version: string };
  const { stdout: said } = await run(join(folder.path, 'node_modules', '.bin', 'muster'), ['--version'], { cwd: folder.path });
  expect(said.trim()).toBe(version);

  await writeFile(
    join(folder.path, 'application.ts'),
    `import { connect } from '@muster/client';
type Options = Parameters<typeof connect>[0];
// @ts-expect-error a number is no set of options: the types are there
const wrong: Options = 7;
export { wrong };
`,
  );
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'esnext', '--types', '', 'application.ts'];
  await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), ...options], { cwd: folder.path });
});
