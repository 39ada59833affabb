// The Docker engine that these tests run on, where one is reached.
import { getContainerRuntimeClient, type StartedNetwork, type StartedTestContainer } from 'testcontainers';

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

/** Suspends everything in a container, as a machine that stands still. */
export async function pause(container: StartedTestContainer): Promise<void> {
  await (await engineOf(container)).pause();
}

export async function unpause(container: StartedTestContainer): Promise<void> {
  await (await engineOf(container)).unpause();
}

/** Pulls a container's cable: it reaches nobody on the network and nobody reaches it, from one moment to the next. */
export async function cut(container: StartedTestContainer, network: StartedNetwork): Promise<void> {
  const { container: client } = await getContainerRuntimeClient();
  await client.dockerode.getNetwork(network.getId()).disconnect({ Container: container.getId(), Force: true });
}

/** Plugs it in again, under the same name. */
export async function mend(container: StartedTestContainer, network: StartedNetwork, alias: string): Promise<void> {
  const { container: client } = await getContainerRuntimeClient();
  const endpoint = { Container: container.getId(), EndpointConfig: { Aliases: [alias] } };
  await client.dockerode.getNetwork(network.getId()).connect(endpoint);
}

async function engineOf(container: StartedTestContainer) {
  const { container: client } = await getContainerRuntimeClient();
  return client.getById(container.getId());
}
