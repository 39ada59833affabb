// The Docker engine that these tests run on, where one is reached.
import { GenericContainer, getContainerRuntimeClient } from 'testcontainers';

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

/** Suspends a container's processes, as a machine that stands still. */
export async function pause(id: string): Promise<void> {
  await (await containerOf(id)).pause();
}

export async function unpause(id: string): Promise<void> {
  await (await containerOf(id)).unpause();
}

/** SIGKILL. It stays down until it is started. */
export async function kill(id: string): Promise<void> {
  await (await containerOf(id)).kill();
}

export async function start(id: string): Promise<void> {
  await (await containerOf(id)).start();
}

/** Pulls a container's cable: it reaches nobody on the network, and nobody reaches it, in both directions and at once. */
export async function cut(id: string, network: string): Promise<void> {
  const { container } = await getContainerRuntimeClient();
  await container.dockerode.getNetwork(network).disconnect({ Container: id, Force: true });
}

/** Plugs it in again, under the same names. */
export async function mend(id: string, network: string, aliases: readonly string[]): Promise<void> {
  const { container } = await getContainerRuntimeClient();
  await container.dockerode.getNetwork(network).connect({ Container: id, EndpointConfig: { Aliases: [...aliases] } });
}

/** A container of an image that was built here: nothing is pulled. */
export function containerOfImage(image: string): GenericContainer {
  return new GenericContainer(image);
}

async function containerOf(id: string) {
  const { container } = await getContainerRuntimeClient();
  return container.getById(id);
}
