// The Docker engine that these tests run on, where one is reached.
import { getContainerRuntimeClient } from 'testcontainers';

export const ROOT = new URL('../../../', import.meta.url).pathname;

/** Why nothing of this can run here; undefined where an engine is reached. */
export async function whyNoEngine(): Promise<string | undefined> {
  try {
    await getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    return `no Docker engine is reached (${error instanceof Error ? error.message : String(error)}): what runs without one is in test/integration, on local programs`;
  }
}
