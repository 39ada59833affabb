import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import type { SourceFile } from './source-file.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const TEXT = /\.(ts|js|mjs|json|jsonc|md|ya?ml|sh|html|css|svg)$|^(\.npmrc|run|Dockerfile)$/;
const LEFT_OUT = new Set(['.git', 'node_modules', 'dist', 'coverage', '.muster']);

/** Every text file of the repository, whether git knows it yet or not. */
export function readRepository(folder = ROOT): readonly SourceFile[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return LEFT_OUT.has(entry.name) ? [] : readRepository(path);
    if (!entry.isFile() || !TEXT.test(entry.name)) return [];
    return [{ path: relative(ROOT, path).split(sep).join('/'), text: readFileSync(path, 'utf8') }];
  });
}
