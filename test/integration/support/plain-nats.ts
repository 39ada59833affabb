// A NATS client of nothing but a socket: what anyone may send, and every answer that comes, not only the first.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface PlainMessage {
  readonly subject: string;
  readonly text: string;
}

export class PlainNats implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #handlers = new Map<string, (message: PlainMessage) => void>();
  #received = Buffer.alloc(0);
  #ids = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (data) => this.#take(data));
    socket.on('error', () => undefined);
  }

  static async connect(port: number): Promise<PlainNats> {
    const socket = connect(port, '127.0.0.1').setNoDelay(true);
    await once(socket, 'connect');
    const plain = new PlainNats(socket);
    socket.write('CONNECT {"verbose":false,"pedantic":false,"name":"plain"}\r\n');
    return plain;
  }

  /** Calls back for every message; gives what ends it. */
  subscribe(subject: string, handler: (message: PlainMessage) => void): () => void {
    const id = String(++this.#ids);
    this.#handlers.set(id, handler);
    this.#socket.write(`SUB ${subject} ${id}\r\n`);
    return () => {
      this.#handlers.delete(id);
      this.#socket.write(`UNSUB ${id}\r\n`);
    };
  }

  publish(subject: string, text: string, reply = ''): void {
    this.#socket.write(`PUB ${subject} ${reply} ${Buffer.byteLength(text)}\r\n${text}\r\n`);
  }

  /** Sends, and calls back for every answer that ever comes. */
  ask(subject: string, text: string, answered: (text: string) => void): () => void {
    const inbox = `_INBOX.plain.${process.pid}.${++this.#ids}.${Math.random().toString(36).slice(2)}`;
    const end = this.subscribe(inbox, (message) => answered(message.text));
    this.publish(subject, text, inbox);
    return end;
  }

  /** Sends, and gives the first answer as JSON. */
  async request(subject: string, text: string, timeoutMs = 20_000): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => reject(new Error(`${subject}: no answer in ${timeoutMs} ms`)), timeoutMs);
    const end = this.ask(subject, text, (answer) => resolve(JSON.parse(answer)));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    this.#received = Buffer.concat([this.#received, data]);
    for (;;) {
      const end = this.#received.indexOf('\r\n');
      if (end < 0) return;
      const [operation, ...words] = this.#received.subarray(0, end).toString().split(' ');
      let length = end + 2;
      if (operation === 'MSG') {
        const size = Number(words.at(-1));
        if (this.#received.length < length + size + 2) return;
        const text = this.#received.subarray(length, length + size).toString();
        length += size + 2;
        this.#handlers.get(words[1] ?? '')?.({ subject: words[0] ?? '', text });
      } else if (operation === 'PING') {
        this.#socket.write('PONG\r\n');
      }
      this.#received = this.#received.subarray(length);
    }
  }
}
