import type { TestProject } from 'vitest/node';
import { buildImages } from './support/compose-project.ts';
import { whyNoEngine } from './support/engine.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Why the tests on Docker do not run; undefined where they do. */
    whyNoEngine: string | undefined;
  }
}

/** Looks for an engine, and builds the images once for all files. */
export default async function setUp(project: TestProject): Promise<void> {
  const why = await whyNoEngine();
  project.provide('whyNoEngine', why);
  if (why === undefined) await buildImages();
  else process.stderr.write(`\n${why}\n`);
}
