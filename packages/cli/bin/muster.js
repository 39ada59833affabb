#!/usr/bin/env node
// Starts the muster command on a Node that can run it. Plain JavaScript without recent syntax, since it may be read by an
// old Node: the one on the PATH is not the one that Muster brings along (the `node` package, found beside it).
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Runs TypeScript as it is, and knows `await using`. */
const NODE_MAJOR_MIN = 24;

const here = dirname(realpathSync(fileURLToPath(import.meta.url)));
// Node refuses TypeScript below node_modules: what is installed there brings the compiled form.
const source = join(here, '..', 'src', 'main.ts');
const compiled = join(here, '..', 'dist', 'main.js');
const main = existsSync(compiled) && (here.includes('node_modules') || !existsSync(source)) ? compiled : source;

if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) {
  await import(pathToFileURL(main).href);
} else {
  const node = findNode(here) || findNode(process.cwd());
  if (node === undefined) {
    process.stderr.write(
      `muster: needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}; hint: npm install node@${NODE_MAJOR_MIN} (with install scripts allowed)\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`muster: ${node} could not be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal !== null) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else process.exit(code === null ? 1 : code);
  });
}

function findNode(from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const node = join(folder, 'node_modules', 'node', 'bin', 'node');
    if (existsSync(node)) return node;
    if (dirname(folder) === folder) return undefined;
  }
}
