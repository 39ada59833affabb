import { MusterError } from '@muster/protocol';
import type { HttpCaller } from '../http-caller.ts';

/** The twin of an HTTP client: one world of addresses, each answered by a function. */
export class MemoryHttpCaller implements HttpCaller {
  /** By the whole address: `http://10.0.0.1:8080/activate`. */
  readonly servers = new Map<string, (body: unknown) => { readonly status: number; readonly text: string }>();

  async post(url: string, body: unknown): Promise<{ readonly status: number; readonly text: string }> {
    const server = this.servers.get(url);
    if (server === undefined) throw new MusterError('no-responders', `${url} cannot be reached: nobody listens`);
    // What goes over a wire is a copy.
    return server(JSON.parse(JSON.stringify(body)));
  }
}
