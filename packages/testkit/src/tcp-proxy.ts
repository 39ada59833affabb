import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A way to a port that can be cut. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Ends every connection at once, and takes no new ones. */
  cut(): void;
  /** Takes connections again. */
  mend(): void;
}

/** Carries connections from a port of its own to `targetPort`, on this machine where no other is named. */
export async function startTcpProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    join(sockets, near, connect(targetPort, targetHost));
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
    mend: () => {
      isCut = false;
    },
    [Symbol.asyncDispose]: async () => {
      destroyAll();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Carries bytes both ways; when one end goes, so does the other. */
function join(sockets: Set<Socket>, near: Socket, far: Socket): void {
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    sockets.add(one);
    one.setNoDelay(true);
    one.pipe(other);
    // An end that is reset says so before it closes; closing is what counts.
    one.on('error', () => other.destroy());
    one.on('close', () => {
      sockets.delete(one);
      other.destroy();
    });
  }
}
