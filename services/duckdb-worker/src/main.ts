import { enableCompileCache, flushCompileCache } from 'node:module';

// Loading its modules is most of what a start costs; compiled once, they are loaded in half the time. A machine starts many
// workers, so the first one writes at once: it may never come to an orderly end.
enableCompileCache();
try {
  const { runWorker } = await import('./run-worker.ts');
  await runWorker();
  flushCompileCache();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
