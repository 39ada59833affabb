// A way to a port that can be disturbed.
//
//   X1. Bytes keep their order, and none is lost on a connection that lives: a link that is held or slow delivers late.
//   X2. A cut ends every connection with what was still on its way, and refuses new ones until it is mended.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Clock, SystemClock, type Timer } from '@muster/ports';

/** `out`: from whoever dialled to the port; `in`: back. */
export type LinkDirection = 'out' | 'in';

/** A way to a port that can be cut, held and slowed down. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Ends every connection at once, and takes no new ones. */
  cut(): void;
  /** Keeps what goes in this direction, on old and new connections, as a network that loses every packet does. */
  hold(direction: LinkDirection): void;
  /** From now on everything arrives so much later, in both directions. */
  delay(delayMs: number): void;
  /** Takes connections again, delivers what was held, and is as fast as it can be. */
  mend(): void;
}

/** Carries connections from a port of its own to `targetPort`, on this machine where no other is named. */
export async function startTcpProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const ways = new Set<Way>();
  const link: LinkState = { clock: new SystemClock(), held: new Set(), delayMs: 0 };
  let isCut = false;
  const server = createServer({ allowHalfOpen: true }, (near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect({ port: targetPort, host: targetHost, allowHalfOpen: true });
    for (const [from, to, direction] of [
      [near, far, 'out'],
      [far, near, 'in'],
    ] as const) {
      const way = new Way(link, direction, from, to);
      ways.add(way);
      sockets.add(from);
      from.on('close', () => {
        sockets.delete(from);
        ways.delete(way);
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const destroyAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true;
      destroyAll();
    },
    hold: (direction) => void link.held.add(direction),
    delay: (delayMs) => {
      link.delayMs = delayMs;
    },
    mend: () => {
      isCut = false;
      link.held.clear();
      link.delayMs = 0;
      for (const way of ways) way.flush();
    },
    [Symbol.asyncDispose]: async () => {
      destroyAll();
      server.close();
      await once(server, 'close');
    },
  };
}

interface LinkState {
  readonly clock: Clock;
  readonly held: Set<LinkDirection>;
  delayMs: number;
}

/** What is on its way in one direction of one connection, at the most; more stays in the sender's socket. */
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/** Carries the bytes of one direction of one connection; when one end goes, so does the other. */
class Way {
  readonly #link: LinkState;
  readonly #direction: LinkDirection;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #queue: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  #queuedBytes = 0;
  #timer: Timer | undefined;
  #isEnded = false;
  #isFull = false;

  constructor(link: LinkState, direction: LinkDirection, from: Socket, to: Socket) {
    this.#link = link;
    this.#direction = direction;
    this.#from = from;
    this.#to = to;
    from.setNoDelay(true);
    from.on('data', (chunk: Buffer) => {
      this.#queue.push({ chunk, dueMs: link.clock.monotonicMs() + link.delayMs });
      this.#queuedBytes += chunk.length;
      if (this.#queuedBytes > QUEUED_BYTES_MAX) from.pause();
      this.flush();
    });
    from.on('end', () => {
      this.#isEnded = true;
      this.flush();
    });
    // An end that is reset says so before it closes; closing is what counts.
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#timer?.cancel();
      // What it had sent before it went in order still arrives.
      if (!this.#isEnded) to.destroy();
    });
    to.on('drain', () => {
      this.#isFull = false;
      this.flush();
    });
  }

  /** Delivers what may be delivered now. */
  flush(): void {
    this.#timer?.cancel();
    if (this.#link.held.has(this.#direction) || this.#isFull) return;
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const leftMs = this.#link.delayMs === 0 ? 0 : next.dueMs - this.#link.clock.monotonicMs();
      if (leftMs > 0) {
        this.#timer = this.#link.clock.setTimer(leftMs, () => this.flush());
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= next.chunk.length;
      if (!this.#to.write(next.chunk)) {
        this.#isFull = true;
        return;
      }
    }
    if (this.#isEnded) this.#to.end();
    else if (this.#from.isPaused()) this.#from.resume();
  }
}
