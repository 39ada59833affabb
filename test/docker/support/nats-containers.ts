// nats-servers in containers of a network, from the image that docker-compose.yml names.
import { freePort } from '@muster/testkit';
import { GenericContainer, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';
import { SLOW } from './door.ts';

const IMAGE = 'nats:2';
const CLIENT_PORT = 4222;

export interface NatsContainer {
  readonly name: string;
  readonly container: StartedTestContainer;
  /** As this machine reaches it, also after its cable was pulled: Docker gives a published port without a number a new one. */
  readonly url: string;
}

/** Starts one server, or several that are one cluster; their names on the network are `n1`, `n2`, … */
export async function startNats(network: StartedNetwork, size: 1 | 3, resources: AsyncDisposableStack): Promise<readonly NatsContainer[]> {
  const names = Array.from({ length: size }, (_, at) => `n${at + 1}`);
  const routes = names.map((name) => `nats://${name}:6222`).join(',');
  const cluster = size === 1 ? [] : ['--cluster_name', 'test', '--cluster', 'nats://0.0.0.0:6222', '--routes', routes, '--no_advertise'];
  const starting = names.map(async (name): Promise<NatsContainer> => {
    const container = await new GenericContainer(IMAGE)
      .withNetwork(network)
      .withNetworkAliases(name)
      .withCommand(['--name', name, '--jetstream', '--store_dir', '/data', ...cluster])
      .withExposedPorts({ container: CLIENT_PORT, host: await freePort() })
      .withWaitStrategy(Wait.forLogMessage(/Server is ready/).withStartupTimeout(SLOW.timeoutMs))
      .start();
    resources.use(container);
    return { name, container, url: `nats://${container.getHost()}:${container.getMappedPort(CLIENT_PORT)}` };
  });
  return Promise.all(starting);
}
