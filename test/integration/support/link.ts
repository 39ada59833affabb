import { type LinkDirection, startTcpProxy, type TcpProxy, type TestNatsServer } from '@muster/testkit';

/** One process's way to NATS, to every server of it, which can be disturbed. */
export class Link implements AsyncDisposable {
  readonly #proxies: readonly TcpProxy[];

  constructor(proxies: readonly TcpProxy[]) {
    this.#proxies = proxies;
  }

  /** What the process is told instead of the servers' own addresses. */
  get urls(): readonly string[] {
    return this.#proxies.map(({ port }) => `nats://127.0.0.1:${port}`);
  }

  /** Ends every connection and takes no new ones. */
  cut(): void {
    for (const proxy of this.#proxies) proxy.cut();
  }

  /** Nothing arrives in this direction. */
  hold(direction: LinkDirection): void {
    for (const proxy of this.#proxies) proxy.hold(direction);
  }

  delay(delayMs: number): void {
    for (const proxy of this.#proxies) proxy.delay(delayMs);
  }

  mend(): void {
    for (const proxy of this.#proxies) proxy.mend();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  }
}

export async function startLink(servers: readonly TestNatsServer[]): Promise<Link> {
  return new Link(await Promise.all(servers.map(({ port }) => startTcpProxy(port))));
}
